"""The likelihoods, the KL divergence, and the terms of the ELBO.

All terms are nats per image, [B]: the reconstruction is summed over pixel-channels and the KL over latent
dimensions. `total_loss` is what the optimiser minimises. It equals the negative ELBO when the reduction is
"sum", beta is 1 and the noise isotropic; with the reduction "mean" the reconstruction alone is divided by the
number of pixel-channels, which silently weights the KL by that number.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.vae import VAE, VAEOutput


class ELBOTerms(NamedTuple):
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


def continuous_bernoulli_nll(logits: Tensor, images: Tensor) -> Tensor:
    """The same with the normalisation that makes it a density on [0, 1], [B], nats (Loaiza-Ganem & Cunningham 2019).

    log C = log(2 atanh(1 - 2 lambda) / (1 - 2 lambda)); in logits, log(logit / tanh(logit / 2)), by its Taylor
    series near 0 (their eq. 5).
    """
    near = logits.abs() < 1e-2
    safe = torch.where(near, torch.ones_like(logits), logits)
    log_constant = torch.where(near, math.log(2) + logits.square() / 12, (safe / torch.tanh(safe / 2)).log())
    return bernoulli_nll(logits, images) - log_constant.flatten(1).sum(1)


def gaussian_nll(means: Tensor, images: Tensor, log_variance: Tensor) -> Tensor:
    """-log N(x; mean, exp log_variance) summed over pixel-channels, [B], nats of density on [0, 1]."""
    squared = (images - means).square().flatten(1).sum(1)
    size = means[0].numel()
    return 0.5 * (squared * torch.exp(-log_variance) + size * (log_variance + math.log(2 * math.pi)))


def optimal_variance(means: Tensor, images: Tensor) -> Tensor:
    """The mean squared error: the variance that maximises the likelihood (Rybkin et al. 2021, eq. 6).

    It is detached because at the optimum the gradient through the variance is zero.
    """
    return (images - means).detach().square().mean()


def heteroscedastic_gaussian_nll(residuals: Tensor, colour: Tensor, log_scale: Tensor) -> Tensor:
    """-log N(residual; 0, exp(log_scale) colour) summed over pixels, [B], nats of density.

    residuals [B, C, H, W], colour [C, C] the covariance of a pixel's channels, log_scale [B, 1, H, W].
    """
    channels = residuals.shape[1]
    root = torch.linalg.cholesky(colour)
    squared = whiten(residuals, root).square().sum(0)  # [B, H, W]
    log_determinant = channels * log_scale[:, 0] + 2 * root.diagonal().log().sum()
    constant = channels * math.log(2 * math.pi)
    return 0.5 * (squared * torch.exp(-log_scale[:, 0]) + log_determinant + constant).sum((1, 2))


def whiten(residuals: Tensor, root: Tensor) -> Tensor:
    """Residuals [B, C, H, W] times the inverse of the lower triangular root [C, C], channels first: [C, B, H, W]."""
    channels_first = residuals.transpose(0, 1)
    white = torch.linalg.solve_triangular(root, channels_first.flatten(1), upper=False)
    return white.unflatten(1, channels_first.shape[1:])


def optimal_channel_cov(residuals: Tensor, log_scale: Tensor) -> Tensor:
    """The covariance of a pixel's channels [C, C] that maximises the likelihood of residuals, scaled [B, 1, H, W]."""
    rescaled = (residuals * torch.exp(-0.5 * log_scale)).transpose(0, 1).flatten(1)
    return rescaled @ rescaled.T / rescaled.shape[1]


def elbo_terms(model: VAE, output: VAEOutput, images: Tensor, reduction: str, beta: float, log_variance: Tensor) -> ELBOTerms:
    """The terms of the loss for one batch; `log_variance` matters to the Gaussian likelihood only.

    With local noise the mean still learns from isotropic noise, whose optimum is the least squared error, and the
    noise map from what the mean leaves: `reconstruction` is the model's own likelihood, `total_loss` holds both.
    """
    if model.likelihood == "bernoulli":
        reconstruction = bernoulli_nll(output.decoded, images)
    elif model.likelihood == "continuous_bernoulli":
        reconstruction = continuous_bernoulli_nll(output.decoded, images)
    else:
        reconstruction = gaussian_nll(output.decoded, images, log_variance)
    objective = reconstruction
    if output.log_scale is not None:
        reconstruction = heteroscedastic_gaussian_nll((images - output.decoded).detach(), model.colour, output.log_scale)
        objective = objective + reconstruction
    kl = kl_standard_normal(output.mu, output.logvar).sum(1)
    weight = 1.0 if reduction == "sum" else 1.0 / images[0].numel()
    return ELBOTerms(weight * objective + beta * kl, reconstruction, kl)
