"""Images in memory to training batches: the split, the augmentation, the order."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import UserError
from pipeline.config.data import DataConfig
from pipeline.config.paths import Paths
from pipeline.data.dataset import Dataset, load_dataset

# The split is the same for every run and for the baselines: it does not follow the run's seed.
SPLIT_SEED = 20240501


def load_split(data: DataConfig, paths: Paths) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Open the fetched dataset, with the indices of its training and of its validation images.

    Raises UserError if it is not whole, or has too few images.
    """
    dataset = load_dataset(paths.dataset(data.dataset))
    total = len(dataset.train_images)
    train_idx, val_idx = train_val_split(total, *data.split_sizes(total))
    return dataset, train_idx.numpy(), val_idx.numpy()


def train_val_split(total: int, val_size: int, train_size: int | None) -> tuple[Tensor, Tensor]:
    """Draw the indices of training and validation images: disjoint, ascending.

    Raises UserError if there are too few images.
    """
    kept = total - val_size if train_size is None else train_size
    if min(kept, val_size) < 1 or val_size + kept > total:
        raise UserError(
            f"data.val_size is {val_size} and data.train_size {train_size}, "
            f"but there are {total} images"
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return order[val_size : val_size + kept].sort().values, order[:val_size].sort().values


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 [B, C, H, W] into float32 in [0, 1], channels last in memory."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def shuffled_batches(
    images: Tensor, batch_size: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Draw an order of images [N, C, H, W]; return its batches of indices, each [B], int64."""
    order = torch.randperm(len(images), generator=generator, device=generator.device)
    return order.to(images.device).split(batch_size)


def load_batch(
    images: Tensor, index: Tensor, flip: bool, crop_padding: int, generator: torch.Generator
) -> Tensor:
    """Take the uint8 images of an index [B], augmented one by one, in [0, 1]: [B, C, H, W]."""
    return to_float(augment(images[index], flip, crop_padding, generator))


def augment(images: Tensor, flip: bool, crop_padding: int, generator: torch.Generator) -> Tensor:
    """Apply RandomCrop(padding, black) and RandomHorizontalFlip, drawn for each image.

    uint8 [B, C, H, W] in and out.
    """
    batch, _, height, width = images.shape
    where = generator.device
    if crop_padding:
        padded = functional.pad(images, [crop_padding] * 4)
        shifts = torch.randint(2 * crop_padding + 1, (2, batch), generator=generator, device=where)
        top, left = shifts.to(images.device)
        # Every crop there is: [B, C, tops, lefts, H, W].
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = windows[torch.arange(batch, device=images.device), :, top, left]
    if flip:
        flipped = (torch.rand(batch, generator=generator, device=where) < 0.5).to(images.device)
        images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
    return images


def expected_augmented_image(image: Tensor, flip: bool, crop_padding: int) -> Tensor:
    """Return the exact mean of `augment` over all its draws, for an image [C, H, W].

    Flip and crop are linear, so the mean augmented image is the augmented mean image: a box filter
    over the (2 padding + 1)^2 equally likely shifts, black outside, averaged with its mirror image.
    """
    result = image
    if crop_padding:
        padded = functional.pad(result[None], [crop_padding] * 4)
        result = functional.avg_pool2d(padded, 2 * crop_padding + 1, stride=1)[0]
    return (result + result.flip(-1)) / 2 if flip else result
