"""Principal components of the training images, and a VAE that starts as probabilistic PCA."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.data.loader import to_float
from pipeline.models.vae import VAE

CHUNK_SIZE = 5_000
# Directions with less variance than rounding to 8 bits adds carry no information about the images.
ROUNDING_VARIANCE = (1 / 255) ** 2 / 12


class PCA(NamedTuple):
    """Principal components: mean [D], components [D, D] (rows, by falling variance) and their variances [D]."""

    mean: Tensor
    components: Tensor
    variances: Tensor


def mean_and_cov(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of uint8 images [N, C, H, W] as vectors in [0, 1], float64."""
    size = images[0].numel()
    total, product = torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    for part in images.split(CHUNK_SIZE):
        centered = to_float(part).flatten(1) - 0.5  # near zero mean, so that float32 products keep their precision
        total += centered.double().sum(0)
        product += (centered.T @ centered).double()
    mean = total / len(images)
    return mean + 0.5, product / len(images) - mean.outer(mean)


def fit_pca(images: Tensor) -> PCA:
    """Principal components of uint8 images [N, C, H, W] (Pearson 1901), float64."""
    mean, covariance = mean_and_cov(images)
    variances, vectors = torch.linalg.eigh(covariance)
    return PCA(mean, vectors.flip(1).T, variances.flip(0).clamp(min=ROUNDING_VARIANCE))


@torch.no_grad()
def init_from_pca(model: VAE, pca: PCA) -> None:
    """Set the linear path to the first latent_dim principal components, and silence the convolutions' ends.

    The model then is the maximum-likelihood probabilistic PCA (Tipping & Bishop 1999, eqs. 7-8 and sec. 3.1),
    its code rotated and scaled so that the prior N(0, I) fits.
    """
    if not model.linear_path:
        raise ValueError("only a VAE with a linear path can start from PCA")
    mean, components, variances = pca
    size = model.latent_dim
    noise = variances[size:].mean() if size < len(variances) else variances[-1]
    kept, rows = variances[:size], components[:size]
    signal = (kept - noise).clamp(min=1e-3 * noise).sqrt()
    model.restore.weight.copy_(rows.T * signal)
    model.restore.bias.copy_(mean)
    # Posterior of the code: mean signal / (signal^2 + noise) * score, variance noise / (signal^2 + noise).
    total = signal.square() + noise
    model.project.weight.copy_(rows * (signal / total)[:, None])
    model.project.bias.copy_(-(rows @ mean) * signal / total)
    model.posterior.weight.zero_()
    model.posterior.bias.copy_(torch.cat([torch.zeros(size), (noise / total).log().float()]))
    model.refine.last.weight.zero_()
    model.refine.last.bias.zero_()  # type: ignore[union-attr]  # every convolution here has a bias
    model.log_variance.fill_(math.log(float(noise)))
    model.colour.copy_(noise * torch.eye(len(model.colour)))
