"""The approximate posterior q(z|x) = N(mu, diag exp logvar): its samples and its KL."""

from typing import NamedTuple

import torch
from torch import Tensor


class Posterior(NamedTuple):
    """Mean and log variance of each latent dimension, both [B, latent_dim]."""

    mu: Tensor
    logvar: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """Return z = mu + sigma eps [B, latent_dim]: the reparameterization trick.

        eps [B, latent_dim] is standard normal and comes from the caller's generator
        (Kingma & Welling 2014, sec. 2.4).
        """
        return self.mu + torch.exp(0.5 * self.logvar) * eps

    def kl(self) -> Tensor:
        """Return KL(q(z|x) || N(0, I)) of each dimension, [B, latent_dim], nats."""
        return kl_standard_normal(self.mu, self.logvar)


def kl_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, exp logvar) || N(0, 1)) elementwise, nats (Kingma & Welling 2014, app. B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)
