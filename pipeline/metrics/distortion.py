"""How far reconstructions are from their images, and how much of the image they explain."""

import math
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

# Half an 8-bit step: keeps the cross-entropy of a prediction that is exactly 0 or 1 finite.
HALF_STEP = 0.5 / 255


def squared_error(predicted: Tensor, images: Tensor) -> Tensor:
    """Mean over pixel-channels of the squared error, [B], for pixels in [0, 1]."""
    return (predicted - images).square().flatten(1).mean(1)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error on [0, 1], dB; infinite for 0."""
    return -10 * math.log10(mse) if mse > 0 else math.inf


def ssim(predicted: Tensor, images: Tensor) -> Tensor:
    """Structural similarity of images in [0, 1], [B]: Gaussian window of 11 pixels (Wang et al. 2004)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    found = structural_similarity_index_measure(predicted, images, data_range=1.0, reduction="none")
    return cast(Tensor, found)


def cross_entropy(predicted: Tensor, images: Tensor) -> Tensor:
    """Binary cross-entropy of pixels in [0, 1] given predicted means, mean over pixel-channels, [B], nats.

    Predictions are kept half an 8-bit step inside (0, 1), so that any likelihood's mean can be scored.
    """
    predicted = predicted.clamp(HALF_STEP, 1 - HALF_STEP)
    return functional.binary_cross_entropy(predicted, images, reduction="none").flatten(1).mean(1)


def entropy(pixels: Tensor) -> Tensor:
    """Binary entropy of values in [0, 1], nats: the least cross-entropy any prediction can reach."""
    return -(torch.xlogy(pixels, pixels) + torch.xlogy(1 - pixels, 1 - pixels))


def explained_information(bce: float, mean_image_bce: float, floor: float) -> float:
    """Share of the cross-entropy between the mean image (0) and a perfect reconstruction (1) that is removed."""
    return (mean_image_bce - bce) / (mean_image_bce - floor)
