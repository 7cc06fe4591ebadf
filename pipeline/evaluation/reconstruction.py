"""How far reconstructions are from their images, and how much of the image they explain."""

import math

import torch
from torch import Tensor
from torch.nn import functional

# Half an 8-bit step: keeps the cross-entropy of a prediction that is exactly 0 or 1 finite.
HALF_STEP = 0.5 / 255


def mse_per_image(predicted: Tensor, images: Tensor) -> Tensor:
    """Mean over pixel-channels of the squared error, [B], for pixels in [0, 1]."""
    return (predicted - images).square().flatten(1).mean(1)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error on [0, 1], dB; infinite for 0."""
    return -10 * math.log10(mse) if mse > 0 else math.inf


def ssim(predicted: Tensor, images: Tensor) -> Tensor:
    """Structural similarity of images in [0, 1], [B] (Wang et al. 2004): windows of 11 pixels, borders mirrored.

    Torchmetrics' values, written out because importing it takes seconds.
    """
    offsets = torch.arange(11, device=images.device) - 5
    row = torch.exp(-offsets.square() / (2 * 1.5**2))
    channels = images.shape[1]
    window = (row.outer(row) / row.sum() ** 2).expand(channels, 1, 11, 11)
    x, y = (functional.pad(part, (5, 5, 5, 5), mode="reflect") for part in (predicted, images))
    moments = torch.cat([x, y, x * x, y * y, x * y]).contiguous()
    mean_x, mean_y, xx, yy, xy = functional.conv2d(moments, window, groups=channels).chunk(5)
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    structure = (2 * (xy - mean_x * mean_y) + 0.03**2) / (xx - mean_x**2 + yy - mean_y**2 + 0.03**2)
    return (luminance * structure).flatten(1).mean(1)


def bce_per_image(predicted: Tensor, images: Tensor) -> Tensor:
    """Binary cross-entropy of pixels in [0, 1] given predicted means, mean over pixel-channels, [B], nats.

    Predictions are kept half an 8-bit step inside (0, 1), so that any likelihood's mean can be scored.
    """
    predicted = predicted.clamp(HALF_STEP, 1 - HALF_STEP)
    return functional.binary_cross_entropy(predicted, images, reduction="none").flatten(1).mean(1)


def binary_entropy(pixels: Tensor) -> Tensor:
    """Binary entropy of values in [0, 1], nats: the least cross-entropy any prediction can reach."""
    return -(torch.xlogy(pixels, pixels) + torch.xlogy(1 - pixels, 1 - pixels))


def explained_information(bce: float, mean_image_bce: float, floor: float) -> float:
    """Share of the cross-entropy between the mean image (0) and a perfect reconstruction (1) that is removed."""
    return (mean_image_bce - bce) / (mean_image_bce - floor)
