"""The fixed train/validation split, and shuffled, augmented loader."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from pipeline import UserError

# The split is the same for every run and for the baselines: it does not follow the run's seed.
SPLIT_SEED = 20240501


def split(total: int, validation: int, train_images: int | None) -> tuple[Tensor, Tensor]:
    """Indices of the training and the validation images, disjoint, ascending; UserError if there are too few."""
    kept = total - validation if train_images is None else train_images
    if min(kept, validation) < 1 or validation + kept > total:
        raise UserError(
            f"data.validation is {validation} and data.train_images {train_images}, but there are {total} images"
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return order[validation : validation + kept].sort().values, order[:validation].sort().values


def to_float(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] to float32 in [0, 1], channels last in memory."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def iter_batches(
    images: Tensor, batch_size: int, flip: bool, crop_padding: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """One epoch: every uint8 image once, in a drawn order, augmented image by image, scaled to [0, 1]."""
    for index in torch.randperm(len(images), generator=generator).to(images.device).split(batch_size):
        yield to_float(augment(images[index], flip, crop_padding, generator))


def augment(images: Tensor, flip: bool, crop_padding: int, generator: torch.Generator) -> Tensor:
    """RandomHorizontalFlip and RandomCrop(padding, black), drawn for each image: uint8 [B, C, H, W] in and out."""
    batch, _, height, width = images.shape
    if crop_padding:
        padded = functional.pad(images, [crop_padding] * 4)
        top, left = torch.randint(2 * crop_padding + 1, (2, batch), generator=generator).to(images.device)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, tops, lefts, H, W]
        images = windows[torch.arange(batch, device=images.device), :, top, left]
    if flip:
        flipped = (torch.rand(batch, generator=generator) < 0.5).to(images.device)
        images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
    return images


def expected_augmented_image(image: Tensor, flip: bool, crop_padding: int) -> Tensor:
    """The exact mean of `augmented` over all its draws, for an image [C, H, W] or the mean of many.

    Flip and crop are linear, so the mean augmented image is the augmented mean image: a box filter over
    the (2 padding + 1)^2 equally likely shifts, black outside, averaged with its mirror image.
    """
    result = image
    if crop_padding:
        result = functional.avg_pool2d(
            functional.pad(result[None], [crop_padding] * 4), 2 * crop_padding + 1, stride=1
        )[0]
    return (result + result.flip(-1)) / 2 if flip else result
