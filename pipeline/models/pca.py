"""Principal components of the training images, and a VAE that starts as probabilistic PCA."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.data.loader import to_float
from pipeline.models.decoders import RefinedLinearDecoder
from pipeline.models.flow import FlowDecoder
from pipeline.models.vae import VAE

CHUNK_SIZE = 5_000
# Up to these pixel-channels, a 32x32 color image's, a covariance is cheap, however few the images.
# That of 64x64 takes many minutes, for nothing where the pixel-channels are this many times the
# images.
MAX_DENSE_DIMS = 3 * 32 * 32
NUM_FEW = 4
# Directions with less variance than rounding to 8 bits adds carry no information about the images.
ROUNDING_VARIANCE = (1 / 255) ** 2 / 12


class PCA(NamedTuple):
    """Principal components of images as vectors of D pixel-channels, float64.

    mean [D], components [D, D] (rows, by falling variance), explained_variance [D].
    """

    mean: Tensor
    components: Tensor
    explained_variance: Tensor


def mean_and_cov(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean [D] and covariance [D, D] of uint8 images [N, C, H, W] in [0, 1], float64."""
    size = images[0].numel()
    total = torch.zeros(size, dtype=torch.float64, device=images.device)
    product = torch.zeros(size, size, dtype=torch.float64, device=images.device)
    for part in images.split(CHUNK_SIZE):
        # Near zero mean, so that float32 products keep their precision.
        centered = to_float(part).flatten(1) - 0.5
        total += centered.double().sum(0)
        product += (centered.T @ centered).double()
    mean = total / len(images)
    return mean + 0.5, product / len(images) - mean.outer(mean)


def fit_pca(images: Tensor) -> PCA:
    """Fit principal components to uint8 images [N, C, H, W] (Pearson 1901)."""
    size = images[0].numel()
    if size > MAX_DENSE_DIMS and NUM_FEW * len(images) < size:
        return _fit_pca_to_few(images)
    mean, covariance = mean_and_cov(images)
    variances, vectors = torch.linalg.eigh(covariance)
    return PCA(mean, vectors.flip(1).T, variances.flip(0).clamp(min=ROUNDING_VARIANCE))


def _fit_pca_to_few(images: Tensor) -> PCA:
    """Fit by the singular vectors of the images themselves, completed to a basis of the pixels."""
    pixels = to_float(images).flatten(1).double()
    mean = pixels.mean(0)
    _, deviations, vectors = torch.linalg.svd(pixels - mean, full_matrices=False)
    components = torch.linalg.qr(vectors.T, mode="complete").Q.T
    variances = deviations.new_zeros(len(components))
    variances[: len(deviations)] = deviations.square() / len(images)
    return PCA(mean, components, variances.clamp(min=ROUNDING_VARIANCE))


@torch.no_grad()
def init_from_pca(model: VAE, pca: PCA) -> None:
    """Set the linear path to the first latent_dim components, and the encoder's convolutions to 0.

    The model, whose other parts start at zero, then is the maximum-likelihood probabilistic PCA
    (Tipping & Bishop 1999, eqs. 7-8 and sec. 3.1), its code rotated and scaled so that the prior
    N(0, I) fits.
    """
    encoder, decoder = model.encoder, model.decoder
    if not isinstance(decoder, RefinedLinearDecoder | FlowDecoder) or encoder.linear is None:
        raise ValueError("only a VAE with a linear path can start from PCA")
    mean, components, variances = pca
    size = model.latent_dim
    noise = variances[size:].mean() if size < len(variances) else variances[-1]
    rows = components[:size]
    signal = (variances[:size] - noise).clamp(min=1e-3 * noise).sqrt()

    # Decoder: x = signal z along each component, plus the mean.
    decoder.linear.weight.copy_(rows.T * signal)
    decoder.linear.bias.copy_(mean)

    # Encoder: mu = signal / (signal^2 + noise) * score, variance noise / (signal^2 + noise).
    total = signal.square() + noise
    encoder.linear.weight.copy_(rows * (signal / total)[:, None])
    encoder.linear.bias.copy_(-(rows @ mean) * signal / total)
    encoder.to_moments.weight.zero_()
    encoder.to_moments.bias.copy_(torch.cat([torch.zeros(size), (noise / total).log().float()]))

    # Noise: what the other components leave, white.
    model.decoder_logvar.fill_(math.log(float(noise)))
    if isinstance(decoder, FlowDecoder):
        # Its pixels are in [-1, 1].
        decoder.residual_variance.fill_(4 * float(noise))
    if model.noise is not None:
        model.noise.init_white(float(noise))
