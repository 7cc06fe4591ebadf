"""A distance of sets of images without a trained network: of their patches, as pixels."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.evaluation.distances import FeatureSet, frechet_distance

PATCH = 8
# Patches of this many images of each set are compared: 80,000 where images have 32 x 32 pixels.
MAX_IMAGES = 5_000


def patch_distance(real: Tensor, generated: Tensor) -> float:
    """Return the squared Frechet distance of the 8x8 patches of two sets, uint8 [N, C, H, W].

    Pixels are in [0, 1]; patches do not overlap. It sees color, contrast and texture up to their
    second moments and no objects; blur, which features of ImageNet may forgive, costs it variance.
    """
    return frechet_distance(FeatureSet(patches(real)), FeatureSet(patches(generated)))


def patches(images: Tensor) -> Tensor:
    """Cut the first MAX_IMAGES images, uint8 [N, C, H, W], to patches [M, 64 C] in [0, 1]."""
    pixels = images[:MAX_IMAGES].to(torch.float32) / 255
    return functional.unfold(pixels, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
