"""Priors to draw codes from: the standard normal, and two fitted to the training images' codes."""

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.layers import init_weights
from pipeline.models.posterior import Posterior
from pipeline.training.losses import gaussian_nll, optimal_variance

NUM_COMPONENTS = 40
MAX_EM_ITERS = 20
# Added to the components' variances: the codes' own are about 1, and a thousand codes say little
# of 512 dimensions.
REG_COVAR = 0.02
HIDDEN = 512
BATCH_SIZE = 500
LEARNING_RATE = 1e-3


class GaussianMixturePrior(NamedTuple):
    """Weights [K], means [K, D], lower Cholesky roots of the covariances [K, D, D]."""

    weights: Tensor
    means: Tensor
    scale_tril: Tensor

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes z [count, D] on the mixture's device, from a generator on the CPU."""
        weights, device = self.weights.cpu(), self.means.device
        component = torch.multinomial(weights, count, replacement=True, generator=generator)
        component = component.to(device)
        z = torch.randn(count, self.means.shape[1], generator=generator).to(device)
        for index, (mean, root) in enumerate(zip(self.means, self.scale_tril, strict=True)):
            rows = component == index
            z[rows] = mean + z[rows] @ root.T
        return z


def fit_gmm_prior(z: Tensor, seed: int) -> GaussianMixturePrior:
    """Fit a mixture of NUM_COMPONENTS full-covariance Gaussians to codes [N, D].

    By at most MAX_EM_ITERS of expectation maximization: more of them change the samples' distance
    by less than a percent.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    # Fewer where codes are few.
    num_components = max(1, min(NUM_COMPONENTS, len(z) // (2 * z.shape[1])))
    mixture = GaussianMixture(
        num_components, reg_covar=REG_COVAR, max_iter=MAX_EM_ITERS, tol=1e-2, random_state=seed
    )
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(z.cpu().numpy())
    parts = mixture.weights_, mixture.means_, np.linalg.cholesky(mixture.covariances_)
    return GaussianMixturePrior(*(torch.from_numpy(part).float().to(z.device) for part in parts))


class TwoStagePrior(nn.Module):
    """A VAE of codes: its own prior is easier to fit than images' (Dai & Wipf 2019, sec. 4)."""

    decoder_logvar: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = _mlp(latent_dim, 2 * latent_dim)
        self.decoder = _mlp(latent_dim, latent_dim)
        self.register_buffer("decoder_logvar", torch.zeros(()))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes z [count, latent_dim], with the decoder's noise."""
        shape, device = (count, self.latent_dim), self.decoder_logvar.device
        means = self.decoder(torch.randn(shape, generator=generator).to(device))
        eps = torch.randn(shape, generator=generator).to(device)
        return means + torch.exp(0.5 * self.decoder_logvar) * eps


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, outputs),
    )


@torch.enable_grad()
def fit_two_stage_prior(z: Tensor, epochs: int, generator: torch.Generator) -> TwoStagePrior:
    """Train on codes z [N, D] with the ELBO and the optimal variance, by Adam along a cosine."""
    model = TwoStagePrior(z.shape[1])
    init_weights(model, generator)
    model.to(z.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    total = epochs * math.ceil(len(z) / BATCH_SIZE)
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for _ in range(epochs):
        for index in torch.randperm(len(z), generator=generator).split(BATCH_SIZE):
            x = z[index.to(z.device)]
            posterior = Posterior(*model.encoder(x).chunk(2, dim=1))
            eps = torch.randn(posterior.mu.shape, generator=generator).to(z.device)
            means = model.decoder(posterior.sample(eps))
            logvar = optimal_variance(means, x).log()
            loss = gaussian_nll(means, x, logvar) + posterior.kl().sum(1)
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            lr_scheduler.step()
            with torch.no_grad():
                model.decoder_logvar.lerp_(logvar, 0.01)
    return model.eval().requires_grad_(False)
