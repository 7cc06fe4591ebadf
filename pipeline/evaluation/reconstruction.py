"""How far reconstructions are from their images, and how much of the image they explain."""

import math

import torch
from torch import Tensor
from torch.nn import functional

# Half an 8-bit step: keeps the cross-entropy of a prediction that is exactly 0 or 1 finite.
HALF_STEP = 0.5 / 255


def mse_per_image(predicted: Tensor, images: Tensor) -> Tensor:
    """Average the squared error over pixel-channels, [B], for pixels in [0, 1]."""
    return (predicted - images).square().flatten(1).mean(1)


def psnr(mse: float) -> float:
    """Return the peak signal-to-noise ratio of a mean squared error on [0, 1], dB; inf for 0."""
    return -10 * math.log10(mse) if mse > 0 else math.inf


def ssim(predicted: Tensor, images: Tensor) -> Tensor:
    """Return the structural similarity of images in [0, 1], [B] (Wang et al. 2004).

    Gaussian windows of 11 pixels, borders mirrored: torchmetrics' values, written out because
    importing it takes seconds.
    """
    # Windows.
    offsets = torch.arange(11, device=images.device) - 5
    row = torch.exp(-offsets.square() / (2 * 1.5**2))
    channels = images.shape[1]
    window = (row.outer(row) / row.sum() ** 2).expand(channels, 1, 11, 11)

    # Moments in each window.
    x, y = (functional.pad(part, (5, 5, 5, 5), mode="reflect") for part in (predicted, images))
    moments = torch.cat([x, y, x * x, y * y, x * y]).contiguous()
    mean_x, mean_y, xx, yy, xy = functional.conv2d(moments, window, groups=channels).chunk(5)

    # 0.01^2 and 0.03^2 guard against small denominators.
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    structure = (2 * (xy - mean_x * mean_y) + 0.03**2) / (xx - mean_x**2 + yy - mean_y**2 + 0.03**2)
    return (luminance * structure).flatten(1).mean(1)


def bce_per_image(predicted: Tensor, images: Tensor) -> Tensor:
    """Return the binary cross-entropy of pixels in [0, 1] given predicted means, [B], nats.

    It is averaged over pixel-channels. Predictions are kept half an 8-bit step inside (0, 1), so
    that any likelihood's mean can be scored.
    """
    inside = predicted.clamp(HALF_STEP, 1 - HALF_STEP)
    return functional.binary_cross_entropy(inside, images, reduction="none").flatten(1).mean(1)


def binary_entropy(pixels: Tensor) -> Tensor:
    """Return the binary entropy of values in [0, 1], elementwise, nats.

    It is the least cross-entropy that any prediction can reach.
    """
    return -(torch.xlogy(pixels, pixels) + torch.xlogy(1 - pixels, 1 - pixels))


def explained_information(bce: float, mean_image_bce: float, bce_perfect: float) -> float:
    """Return the share of the avoidable cross-entropy that is removed.

    0 for the mean image, 1 for a perfect reconstruction.
    """
    return (mean_image_bce - bce) / (mean_image_bce - bce_perfect)
