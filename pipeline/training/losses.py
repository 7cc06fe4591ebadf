"""The likelihoods and the terms of the ELBO.

All terms are nats per image, [B]: the reconstruction is summed over pixel-channels and the KL over
latent dimensions. `loss` is what the optimizer minimizes. It equals the negative ELBO when the
reduction is "sum", beta is 1 and the noise isotropic; with the reduction "mean" the reconstruction
alone is divided by the number of pixel-channels, which silently weights the KL by that number.
A flow has no likelihood: its reconstruction is the squared error of its velocity, and no ELBO.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.noise import Innovations
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


def flow_matching_error(velocity_error: Tensor) -> Tensor:
    """Return the squared error of the velocity of images in [-1, 1], summed, [B].

    Lipman et al. 2023, eq. 23. Not nats: a flow's likelihood is not bounded by it.
    """
    return velocity_error.square().flatten(1).sum(1)


def optimal_variance(means: Tensor, images: Tensor) -> Tensor:
    """Return the mean squared error: the variance of greatest likelihood.

    Rybkin et al. 2021, eq. 6. It is detached because at the optimum the gradient through the
    variance is zero.
    """
    return (images - means).detach().square().mean()


def innovations_nll(innovations: Innovations) -> Tensor:
    """Return minus the log density of residuals given those before them, summed, [B], nats."""
    standardized, deviation = innovations
    nll = 0.5 * (standardized.square() + math.log(2 * math.pi)) + deviation.log()
    return nll.flatten(1).sum(1)


def elbo_terms(
    model: VAE, output: VAEOutput, images: Tensor, reduction: str, beta: float, logvar: Tensor
) -> ELBOTerms:
    """Compute the terms of the loss for one batch of images [B, C, H, W] in [0, 1].

    `logvar` matters to the Gaussian likelihood only. With other than isotropic noise the mean still
    learns from isotropic noise, whose optimum is the least squared error, and the noise from what
    the mean leaves: `reconstruction` is the model's own likelihood, `loss` holds both.
    """
    decoder_output = output.decoder_output
    if model.likelihood == "bernoulli":
        reconstruction = bernoulli_nll(decoder_output, images)
    elif model.likelihood == "continuous_bernoulli":
        reconstruction = continuous_bernoulli_nll(decoder_output, images)
    elif model.likelihood == "flow":
        reconstruction = flow_matching_error(decoder_output)
    else:
        reconstruction = gaussian_nll(decoder_output, images, logvar)
    objective = reconstruction
    if model.noise is not None and output.log_scale is not None:
        residuals = (images - decoder_output).detach()
        reconstruction = innovations_nll(model.noise.innovations(residuals, output.log_scale))
        objective = objective + reconstruction
    kl = output.posterior.kl().sum(1)
    weight = 1.0 if reduction == "sum" else 1.0 / images[0].numel()
    return ELBOTerms(weight * objective + beta * kl, reconstruction, kl)
