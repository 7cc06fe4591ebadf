"""The likelihoods and the terms of the ELBO.

All terms are nats per image, [B]: the reconstruction is summed over pixel-channels and the KL over
latent dimensions. `loss` is what the optimizer minimizes. It equals the negative ELBO when the
reduction is "sum", beta is 1 and the noise isotropic; with the reduction "mean" the reconstruction
alone is divided by the number of pixel-channels, which silently weights the KL by that number.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.vae import VAE, VAEOutput


class ELBOTerms(NamedTuple):
    """Of each image in the batch, [B], nats."""

    loss: Tensor
    reconstruction: Tensor
    kl: Tensor


def bernoulli_nll(logits: Tensor, images: Tensor) -> Tensor:
    """Return the binary cross-entropy of pixels in [0, 1], summed over pixel-channels, [B], nats.

    Not a likelihood of 8-bit images: it cannot be converted to bits per dimension.
    """
    nll = functional.binary_cross_entropy_with_logits(logits, images, reduction="none")
    return nll.flatten(1).sum(1)


def continuous_bernoulli_nll(logits: Tensor, images: Tensor) -> Tensor:
    """Normalize the Bernoulli's to a density on [0, 1], [B], nats (Loaiza-Ganem & Cunningham 2019).

    log C = log(2 atanh(1 - 2 lambda) / (1 - 2 lambda)); in logits, log(logit / tanh(logit / 2)),
    by its Taylor series near 0 (their eq. 5).
    """
    near = logits.abs() < 1e-2
    safe = torch.where(near, torch.ones_like(logits), logits)
    series = math.log(2) + logits.square() / 12
    log_constant = torch.where(near, series, (safe / torch.tanh(safe / 2)).log())
    return bernoulli_nll(logits, images) - log_constant.flatten(1).sum(1)


def gaussian_nll(means: Tensor, images: Tensor, logvar: Tensor) -> Tensor:
    """Return -log N(x; mean, exp logvar) summed over pixel-channels, [B], nats of density."""
    squared = (images - means).square().flatten(1).sum(1)
    size = means[0].numel()
    return 0.5 * (squared * torch.exp(-logvar) + size * (logvar + math.log(2 * math.pi)))


def optimal_variance(means: Tensor, images: Tensor) -> Tensor:
    """Return the mean squared error: the variance of greatest likelihood.

    Rybkin et al. 2021, eq. 6. It is detached because at the optimum the gradient through the
    variance is zero.
    """
    return (images - means).detach().square().mean()


def heteroscedastic_gaussian_nll(
    residuals: Tensor, channel_cov: Tensor, log_scale: Tensor
) -> Tensor:
    """Return -log N(residual; 0, exp(log_scale) channel_cov) summed over pixels, [B], nats.

    residuals [B, C, H, W], channel_cov [C, C] the covariance of a pixel's channels,
    log_scale [B, 1, H, W].
    """
    channels = residuals.shape[1]
    scale_tril = torch.linalg.cholesky(channel_cov)
    # Summed over channels: [B, H, W].
    squared = whiten(residuals, scale_tril).square().sum(0)
    log_determinant = channels * log_scale[:, 0] + 2 * scale_tril.diagonal().log().sum()
    constant = channels * math.log(2 * math.pi)
    nll = 0.5 * (squared * torch.exp(-log_scale[:, 0]) + log_determinant + constant)
    return nll.sum((1, 2))


def whiten(residuals: Tensor, scale_tril: Tensor) -> Tensor:
    """Multiply residuals [B, C, H, W] by the inverse of the lower triangular scale_tril [C, C].

    Returns channels first: [C, B, H, W].
    """
    channels_first = residuals.transpose(0, 1)
    white = torch.linalg.solve_triangular(scale_tril, channels_first.flatten(1), upper=False)
    return white.unflatten(1, channels_first.shape[1:])


def optimal_channel_cov(residuals: Tensor, log_scale: Tensor) -> Tensor:
    """Return the channel covariance [C, C] of greatest likelihood.

    Of residuals [B, C, H, W] whose noise has the log-scale [B, 1, H, W].
    """
    rescaled = (residuals * torch.exp(-0.5 * log_scale)).transpose(0, 1).flatten(1)
    return rescaled @ rescaled.T / rescaled.shape[1]


def elbo_terms(
    model: VAE, output: VAEOutput, images: Tensor, reduction: str, beta: float, logvar: Tensor
) -> ELBOTerms:
    """Compute the terms of the loss for one batch of images [B, C, H, W] in [0, 1].

    `logvar` matters to the Gaussian likelihood only. With heteroscedastic noise the mean still
    learns from isotropic noise, whose optimum is the least squared error, and the log-scale from
    what the mean leaves: `reconstruction` is the model's own likelihood, `loss` holds both.
    """
    decoder_output = output.decoder_output
    if model.likelihood == "bernoulli":
        reconstruction = bernoulli_nll(decoder_output, images)
    elif model.likelihood == "continuous_bernoulli":
        reconstruction = continuous_bernoulli_nll(decoder_output, images)
    else:
        reconstruction = gaussian_nll(decoder_output, images, logvar)
    objective = reconstruction
    if output.log_scale is not None:
        residuals = (images - decoder_output).detach()
        reconstruction = heteroscedastic_gaussian_nll(
            residuals, model.channel_cov, output.log_scale
        )
        objective = objective + reconstruction
    kl = output.posterior.kl().sum(1)
    weight = 1.0 if reduction == "sum" else 1.0 / images[0].numel()
    return ELBOTerms(weight * objective + beta * kl, reconstruction, kl)
