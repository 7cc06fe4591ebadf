"""What a VAE must beat: the mean image, principal components, a Gaussian."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline import UserError
from pipeline.data.loader import to_float
from pipeline.evaluation.reconstruction import bce_per_image, binary_entropy
from pipeline.evaluation.samples import ReferenceFeatures
from pipeline.models.pca import CHUNK_SIZE, PCA
from pipeline.storage.reading import read_json, read_tensors


class Baselines(NamedTuple):
    """baselines.json; mean training image and entropy map [C, H, W]; features of real images."""

    metrics: dict[str, Any]
    mean: Tensor
    entropy: Tensor
    features: ReferenceFeatures


def load_baselines(folder: Path, device: torch.device) -> Baselines:
    """Read what the baselines stage wrote; UserError if it is missing or damaged.

    Features are put on `device`, where sets of images are compared with them.
    """
    metrics = read_json(folder / "baselines.json")
    maps = read_tensors(folder / "mean.safetensors")
    features = read_tensors(folder / "features.safetensors")
    try:
        reference = ReferenceFeatures(*(features[s].to(device) for s in ReferenceFeatures._fields))
        return Baselines(metrics, maps["mean"], maps["entropy"], reference)
    except KeyError as error:
        raise UserError(
            f"{folder} holds no usable baselines: {error} is missing; run `dvc repro baselines`"
        ) from None


def load_pca(folder: Path, device: torch.device) -> PCA:
    """Read the principal components that the baselines stage wrote; UserError if it is damaged."""
    tensors = read_tensors(folder / "pca.safetensors")
    try:
        return PCA(*(tensors[name].to(device) for name in PCA._fields))
    except KeyError as error:
        raise UserError(
            f"{folder} holds no usable PCA: {error} is missing; run `dvc repro baselines`"
        ) from None


def compute_baselines(pca: PCA, test_images: Tensor) -> dict[str, Any]:
    """Measure every baseline on the test images (uint8 [N, C, H, W], on the device of `pca`)."""
    scores = mean_squared_scores(pca, test_images)
    bits = ppca_bits_per_dim(pca.explained_variance, scores)
    image = pca.mean.float().reshape(test_images.shape[1:])
    parts = [to_float(part) for part in test_images.split(CHUNK_SIZE)]
    bce = torch.cat([bce_per_image(image.expand_as(x), x) for x in parts])
    perfect = torch.cat([binary_entropy(x).flatten(1).mean(1) for x in parts])
    return {
        "num_test_images": len(test_images),
        "mean_image_bce": float(bce.double().mean()),
        "bce_perfect": float(perfect.double().mean()),
        "gaussian_bits_per_dim": float(bits[-1]),
        "pca_mse": [round(value, 9) for value in pca_mse(scores).tolist()],
        "ppca_bits_per_dim": [round(value, 6) for value in bits.tolist()],
    }


def mean_pixel_entropy(images: Tensor) -> Tensor:
    """Average the binary entropy of each pixel-channel over uint8 images, [C, H, W], nats."""
    parts = [binary_entropy(to_float(part)).double().sum(0) for part in images.split(CHUNK_SIZE)]
    return torch.stack(parts).sum(0) / len(images)


def mean_squared_scores(pca: PCA, images: Tensor) -> Tensor:
    """Average the squared projection on each component over uint8 images, [D]."""
    total = torch.zeros_like(pca.explained_variance)
    basis = pca.components.T.float()
    for part in images.split(CHUNK_SIZE):
        scores = (to_float(part).flatten(1) - pca.mean.float()) @ basis
        total += scores.square().double().sum(0)
    return total / len(images)


def pca_mse(scores: Tensor) -> Tensor:
    """Return the MSE per pixel-channel with the first k components, k = 0 .. D, [D + 1]."""
    kept = torch.cat([scores.new_zeros(1), scores.cumsum(0)])
    return ((scores.sum() - kept) / len(scores)).clamp(min=0)


def ppca_bits_per_dim(explained_variance: Tensor, scores: Tensor) -> Tensor:
    """Return bits/dim of probabilistic PCA with k components, k = 0 .. D-1, [D].

    The density on [0, 1] is taken as constant over each 8-bit step (Tipping & Bishop 1999);
    k = D - 1 is the full-covariance Gaussian.
    """
    size = len(explained_variance)
    # Components left out when k are kept.
    left = torch.arange(size, 0, -1).to(explained_variance)
    noise_variance = explained_variance.flip(0).cumsum(0).flip(0) / left
    beyond = scores.flip(0).cumsum(0).flip(0)

    def before(values: Tensor) -> Tensor:
        return values.cumsum(0) - values

    quadratic = before(scores / explained_variance) + beyond / noise_variance
    log_determinant = before(explained_variance.log()) + left * noise_variance.log()
    nats = 0.5 * (size * math.log(2 * math.pi) + log_determinant + quadratic)
    return nats / size / math.log(2) + 8
