"""Priors to draw codes from: the standard normal, and two fitted to the codes of the training images."""

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.layers import init_weights
from pipeline.training.losses import gaussian_nll, kl_standard_normal, optimal_variance

NUM_COMPONENTS, MAX_EM_ITERS = 40, 20
# Added to the components' variances: the codes' own are about 1, and a thousand codes say little of 512 dimensions.
REG_COVAR = 0.02
HIDDEN = 512
BATCH = 500
LEARNING_RATE = 1e-3


class GaussianMixturePrior(NamedTuple):
    """Gaussian mixture: weights [K], means [K, D], lower Cholesky roots of the covariances [K, D, D]."""

    weights: Tensor
    means: Tensor
    roots: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Codes [count, D]."""
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        codes = torch.randn(count, self.means.shape[1], generator=generator)
        for component, (mean, root) in enumerate(zip(self.means, self.roots, strict=True)):
            mine = chosen == component
            codes[mine] = mean + codes[mine] @ root.T
        return codes


def fit_gmm_prior(z: Tensor, seed: int) -> GaussianMixturePrior:
    """A Gaussian mixture of COMPONENTS full covariances, from codes [N, D].

    By at most ITERATIONS of expectation maximisation: more of them change the samples' distance by less than a percent.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    components = max(1, min(NUM_COMPONENTS, len(z) // (2 * z.shape[1])))  # fewer where codes are few
    fitted = GaussianMixture(components, reg_covar=REG_COVAR, max_iter=MAX_EM_ITERS, tol=1e-2, random_state=seed)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(z.numpy())
    parts = fitted.weights_, fitted.means_, np.linalg.cholesky(fitted.covariances_)
    return GaussianMixturePrior(*(torch.from_numpy(part).float() for part in parts))


class TwoStagePrior(nn.Module):
    """A VAE of codes: its own prior is easier to fit than that of images (Dai & Wipf 2019, sec. 4)."""

    log_variance: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = mlp(latent_dim, 2 * latent_dim)
        self.decoder = mlp(latent_dim, latent_dim)
        self.register_buffer("log_variance", torch.zeros(()))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Codes [count, latent_dim], with the decoder's noise."""
        decoded = self.decoder(torch.randn(count, self.latent_dim, generator=generator))
        noise = torch.randn(count, self.latent_dim, generator=generator)
        return decoded + torch.exp(0.5 * self.log_variance) * noise


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, outputs)
    )


@torch.enable_grad()
def fit_two_stage_prior(z: Tensor, epochs: int, generator: torch.Generator) -> TwoStagePrior:
    """Train on codes z [N, D] with the ELBO and the optimal variance, a cosine of learning rates, Adam."""
    model = TwoStagePrior(z.shape[1])
    init_weights(model, generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    total = epochs * math.ceil(len(z) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for _ in range(epochs):
        for index in torch.randperm(len(z), generator=generator).split(BATCH):
            x = z[index]
            mu, logvar = model.encoder(x).chunk(2, dim=1)
            decoded = model.decoder(mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape, generator=generator))
            log_variance = optimal_variance(decoded, x).log()
            loss = gaussian_nll(decoded, x, log_variance) + kl_standard_normal(mu, logvar).sum(1)
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.log_variance.lerp_(log_variance, 0.01)
    return model.eval().requires_grad_(False)
