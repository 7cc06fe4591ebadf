"""What a VAE must beat: the mean image, principal components, and a Gaussian, fitted to the training images."""

import math
from typing import Any

import torch
from torch import Tensor

from pipeline.data.loader import to_float
from pipeline.evaluation.reconstruction import bce_per_image, binary_entropy
from pipeline.models.pca import CHUNK_SIZE, PCA


def mean_pixel_entropy(images: Tensor) -> Tensor:
    """Mean over uint8 images [N, C, H, W] of each pixel-channel's binary entropy, [C, H, W], nats."""
    return torch.stack([binary_entropy(to_float(part)).double().sum(0) for part in images.split(CHUNK_SIZE)]).sum(0) / len(images)


def mean_squared_scores(pca: PCA, images: Tensor) -> Tensor:
    """Mean over uint8 images of the squared projection on each component, [D]."""
    total = torch.zeros_like(pca.variances)
    basis = pca.components.T.float()
    for part in images.split(CHUNK_SIZE):
        total += ((to_float(part).flatten(1) - pca.mean.float()) @ basis).square().double().sum(0)
    return total / len(images)


def pca_mse(scores: Tensor) -> Tensor:
    """MSE per pixel-channel when the first k components are kept, for k = 0 .. D, [D + 1]."""
    kept = torch.cat([torch.zeros(1, dtype=scores.dtype), scores.cumsum(0)])
    return ((scores.sum() - kept) / len(scores)).clamp(min=0)


def ppca_bits_per_dim(variances: Tensor, scores: Tensor) -> Tensor:
    """Bits per dimension of probabilistic PCA with k components, k = 0 .. D-1, [D] (Tipping & Bishop 1999).

    The density on [0, 1] is taken as constant over each 8-bit step; k = D - 1 is the full-covariance Gaussian.
    """
    size = len(variances)
    left = torch.arange(size, 0, -1, dtype=variances.dtype)  # components left out when k are kept
    noise = variances.flip(0).cumsum(0).flip(0) / left
    beyond = scores.flip(0).cumsum(0).flip(0)

    def before(values: Tensor) -> Tensor:
        return values.cumsum(0) - values

    quadratic = before(scores / variances) + beyond / noise
    nats = 0.5 * (size * math.log(2 * math.pi) + before(variances.log()) + left * noise.log() + quadratic)
    return nats / size / math.log(2) + 8


def compute_baselines(pca: PCA, test_images: Tensor) -> dict[str, Any]:
    """Every baseline's figures on the test images (uint8), under the keys that the report uses."""
    scores = mean_squared_scores(pca, test_images)
    bits = ppca_bits_per_dim(pca.variances, scores)
    image = pca.mean.float().reshape(test_images.shape[1:])
    bce = [bce_per_image(image.expand_as(x), x) for x in map(to_float, test_images.split(CHUNK_SIZE))]
    floor = [binary_entropy(to_float(part)).flatten(1).mean(1) for part in test_images.split(CHUNK_SIZE)]
    return {
        "test_images": len(test_images),
        "mean_image_bce": float(torch.cat(bce).double().mean()),
        "bce_floor": float(torch.cat(floor).double().mean()),
        "gaussian_bits_per_dim": float(bits[-1]),
        "pca_mse": [round(value, 9) for value in pca_mse(scores).tolist()],
        "ppca_bits_per_dim": [round(value, 6) for value in bits.tolist()],
    }
