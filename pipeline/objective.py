"""The likelihoods, the KL divergence, and the terms of the ELBO.

All terms are nats per image, [B]: the reconstruction is summed over pixel-channels and the KL over latent
dimensions. `total_loss` is what the optimiser minimises. It equals the negative ELBO when the reduction is
"sum" and beta is 1; with the reduction "mean" the reconstruction alone is divided by the number of
pixel-channels, which silently weights the KL by that number.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.model.vae import VAE, Output


class Terms(NamedTuple):
    """Of each image in the batch, [B], nats."""

    total_loss: Tensor
    reconstruction: Tensor
    kl: Tensor


def kl_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp logvar) || N(0, 1)) of each dimension, [B, latent_dim], nats (Kingma & Welling 2014, app. B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def bernoulli_nll(logits: Tensor, images: Tensor) -> Tensor:
    """Binary cross-entropy of pixels in [0, 1], summed over pixel-channels, [B], nats.

    Not a likelihood of 8-bit images: it cannot be converted to bits per dimension.
    """
    return functional.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)


def gaussian_nll(means: Tensor, images: Tensor, log_variance: Tensor) -> Tensor:
    """-log N(x; mean, exp log_variance) summed over pixel-channels, [B], nats of density on [0, 1]."""
    squared = (images - means).square().flatten(1).sum(1)
    size = means[0].numel()
    return 0.5 * (squared * torch.exp(-log_variance) + size * (log_variance + math.log(2 * math.pi)))


def optimal_log_variance(means: Tensor, images: Tensor) -> Tensor:
    """log of the mean squared error: the variance that maximises the likelihood (Rybkin et al. 2021, eq. 6).

    It is detached because at the optimum the gradient through the variance is zero.
    """
    return (images - means).detach().square().mean().log()


def terms(model: VAE, output: Output, images: Tensor, reduction: str, beta: float, log_variance: Tensor) -> Terms:
    """The terms of the loss for one batch; `log_variance` matters to the Gaussian likelihood only."""
    if model.likelihood == "bernoulli":
        reconstruction = bernoulli_nll(output.decoded, images)
    else:
        reconstruction = gaussian_nll(output.decoded, images, log_variance)
    kl = kl_standard_normal(output.mu, output.logvar).sum(1)
    weight = 1.0 if reduction == "sum" else 1.0 / images[0].numel()
    return Terms(weight * reconstruction + beta * kl, reconstruction, kl)
