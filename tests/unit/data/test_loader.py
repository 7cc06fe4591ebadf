"""Splits are fixed and disjoint; augmentation is drawn an image and matches its exact mean."""

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tv

from pipeline import UserError
from pipeline.data import loader


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_split_is_disjoint_complete_and_fixed() -> None:
    train, held = loader.train_val_split(1000, 100, None)
    assert sorted(train.tolist() + held.tolist()) == list(range(1000))
    fewer, same = loader.train_val_split(1000, 100, 50)
    assert torch.equal(held, same)
    assert len(fewer) == 50
    assert set(fewer.tolist()) <= set(train.tolist())


@pytest.mark.parametrize(("val_size", "train_size"), [(1000, None), (900, 101), (100, 901)])
def test_more_than_there_is_cannot_be_split(val_size: int, train_size: int | None) -> None:
    with pytest.raises(UserError, match="there are 1000 images"):
        loader.train_val_split(1000, val_size, train_size)


def test_an_epoch_has_every_image_once_in_an_order_of_the_generator(
    small_images: np.ndarray,
) -> None:
    images = torch.from_numpy(small_images)
    epoch = loader.shuffled_batches(images, 64, generator())
    assert [len(index) for index in epoch] == [64, 64, 64, 64, 44]
    assert torch.cat(epoch).sort().values.tolist() == list(range(300))
    assert torch.equal(
        torch.cat(loader.shuffled_batches(images, 64, generator())), torch.cat(epoch)
    )
    assert not torch.equal(
        torch.cat(loader.shuffled_batches(images, 64, generator(1))), torch.cat(epoch)
    )


def test_a_batch_has_the_images_of_its_index_in_0_to_1(small_images: np.ndarray) -> None:
    images, index = torch.from_numpy(small_images), torch.tensor([7, 0, 299])
    batch = loader.load_batch(images, index, False, 0, generator())
    assert batch.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(batch, images[index] / 255)


def test_each_image_is_one_of_torchvisions_crops_and_they_differ(small_images: np.ndarray) -> None:
    images = torch.from_numpy(small_images[:40])
    result = loader.augment(images, True, 4, generator())
    draws = set()
    for image, outcome in zip(images, result, strict=True):
        padded = tv.pad(image, [4, 4, 4, 4])
        crops = {(y, x): tv.crop(padded, y, x, 32, 32) for y in range(9) for x in range(9)}
        matches = [key for key, crop in crops.items() if torch.equal(crop, outcome)]
        matches += [
            (*key, "flip") for key, crop in crops.items() if torch.equal(tv.hflip(crop), outcome)
        ]
        assert matches
        draws.add(matches[0])
    assert len(draws) > 25, "a batch must not share one crop"


def test_without_augmentation_nothing_changes(small_images: np.ndarray) -> None:
    images = torch.from_numpy(small_images)
    assert torch.equal(loader.augment(images, False, 0, generator()), images)


def test_the_expected_image_is_the_mean_of_every_flip_and_crop(small_images: np.ndarray) -> None:
    image = torch.from_numpy(small_images[0]).double()
    padded = tv.pad(image, [4, 4, 4, 4])
    crops = [tv.crop(padded, y, x, 32, 32) for y in range(9) for x in range(9)]
    mean = torch.stack([*crops, *(tv.hflip(crop) for crop in crops)]).mean(0)
    assert torch.allclose(loader.expected_augmented_image(image, True, 4), mean)
    assert torch.equal(loader.expected_augmented_image(image, False, 0), image)
