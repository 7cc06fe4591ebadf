"""How likely 8-bit images are under a model: the importance-weighted bound, in bits per dimension."""

import math

import torch
from torch import Tensor

from pipeline.data import loader
from pipeline.models.vae import VAE
from pipeline.training.losses import whiten
from pipeline.config.schema import Precision

HALF_STEP = 0.5 / 255
LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
# Beyond this many deviations 32 bits hold no probability; the density times the step takes over.
MAX_STANDARD_SCORE = 12.0


def discretized_gaussian_log_likelihood(means: Tensor, images: Tensor, root: Tensor, log_scale: Tensor) -> Tensor:
    """log P of 8-bit images (in [0, 1]) whose noise is Gaussian, summed over pixel-channels, [B], nats.

    A pixel's channels have covariance exp(log_scale) root root', root [C, C] lower triangular, log_scale [B, 1, H, W]
    or [1, 1, 1, 1]. Each channel is a Gaussian given the channels before it (as Salimans et al. 2017, sec. 2.2, have
    logistics), integrated over its 8-bit step; the first and the last step reach to infinity, so the sum over all
    images is exactly 1.
    """
    white = whiten(images - means, root)  # [C, B, H, W]
    deviation = root.diagonal()[:, None, None, None] * torch.exp(0.5 * log_scale).transpose(0, 1)
    centre, half = white * torch.exp(-0.5 * log_scale).transpose(0, 1), HALF_STEP / deviation
    # The mirrored tail is the small one: there a difference of probabilities keeps its precision.
    away = centre.abs()
    values = images.transpose(0, 1)
    outermost = torch.where(centre > 0, values > 1 - HALF_STEP, values < HALF_STEP)
    innermost = torch.where(centre > 0, values < HALF_STEP, values > 1 - HALF_STEP)
    upper = torch.where(innermost, 1.0, normal_sf(away - half))
    lower = torch.where(outermost, 0.0, normal_sf(away + half))
    far = (2 * half).log() - 0.5 * away.square() - LOG_SQRT_TAU
    logs = torch.where((away - half < MAX_STANDARD_SCORE) | innermost, (upper - lower).clamp(min=1e-37).log(), far)
    return logs.sum((0, 2, 3))


def normal_sf(deviations: Tensor) -> Tensor:
    """P(N(0, 1) > deviations), precise where it is small, as torch.special.ndtr is not."""
    return 0.5 * torch.erfc(deviations / math.sqrt(2))


def decoder_noise(model: VAE, z: Tensor) -> tuple[Tensor, Tensor]:
    """The noise of p(x|z) as `discretized_gaussian_log_likelihood` takes it; of a Gaussian model."""
    log_scale = model.log_scale(z)
    if log_scale is None:
        size = len(model.colour)
        return torch.eye(size) * torch.exp(0.5 * model.log_variance), torch.zeros(1, 1, 1, 1)
    return torch.linalg.cholesky(model.colour), log_scale


def iwae_bound(
    model: VAE, images: Tensor, samples: int, generator: torch.Generator, precision: Precision = "fp32"
) -> Tensor:
    """log of the mean of `samples` importance weights p(x|z) p(z) / q(z|x), [B], nats (Burda et al. 2016, eq. 8).

    images uint8 [B, C, H, W]; a lower bound of log p(x) that samples = 1 makes the ELBO. The means are decoded in
    `precision`: bf16 makes this, most of an evaluation, a third faster and costs 0.0002 bits/dim or less.
    """
    bounds = []
    for image in images.split(1):
        x = loader.to_float(image)
        mu, logvar = model.encode(x)
        noise = torch.randn(samples, model.latent_dim, generator=generator)
        weights = []
        for part in noise.split(100):
            z = mu + torch.exp(0.5 * logvar) * part
            log_ratio = 0.5 * (part.square() + logvar - z.square()).sum(1)  # log p(z) - log q(z|x)
            with torch.autocast(z.device.type, torch.bfloat16, enabled=precision == "bf16"):
                means = model.decode(z)
            likelihood = discretized_gaussian_log_likelihood(means, x.expand(len(z), -1, -1, -1), *decoder_noise(model, z))
            weights.append(likelihood + log_ratio)
        bounds.append(torch.cat(weights).double().logsumexp(0) - math.log(samples))
    return torch.stack(bounds)


def bits_per_dim(log_likelihood: Tensor, size: int) -> float:
    """Mean over images of -log p in bits, divided by the number of pixel-channels."""
    return float(-log_likelihood.mean() / size / math.log(2))
