"""A folder of anybody's images made a dataset: read in bounded memory, split by their content.

The dataset follows from the images and their classes alone: not from the files' names within a
class, their order, times or formats, nor from the machine.
"""

import hashlib
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import UnidentifiedImageError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline import UserError, first_line
from pipeline.config.data import DataConfig
from pipeline.config.schema import MIN_SET_SIZE
from pipeline.data.dataset import Dataset
from pipeline.download.image_files import SUFFIXES, FoundFiles, classes_of, find_images, read_image

# Decoded before the next are handed out: only the small squares of all images are ever held.
CHUNK_SIZE = 500
# How many originals are in memory at once.
NUM_THREADS = 8
# Images are ordered by the hash of this and their pixels. It never changes, so that a new image
# moves hardly any other from training to test.
TEST_SEED = b"20240501"
# How many classes, and how many damaged files, are named.
NUM_NAMED = 10
NUM_DAMAGED_NAMED = 50
logger = logging.getLogger(__name__)


class Images(NamedTuple):
    """Images uint8 [N, C, S, S], the hash of each, and why files could not be read, by name."""

    pixels: np.ndarray
    digests: list[bytes]
    damaged: dict[str, str]


def require_folder(source: str | None) -> Path:
    """Return the folder of the user's own images. Raises UserError if it is not given or not one.

    A relative path in the message is shown as it was resolved.
    """
    if source is None:
        raise UserError(
            "data.dataset is folder, but download.source is null; name the folder of your images "
            "there, for example ~/Pictures"
        )
    if not Path(source).is_dir():
        what = "is not a folder" if Path(source).exists() else "does not exist"
        raise UserError(f"download.source {source} {what}; name the folder of your images there")
    return Path(source)


def list_folder(folder: Path, data: DataConfig) -> FoundFiles:
    """Find the folder's images; UserError if it cannot be read, or has too few to be split."""
    try:
        found = find_images(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error}") from None
    if not found.images:
        raise UserError(
            f"{folder} has no images ({', '.join(SUFFIXES)}) in it or in its subfolders"
        )
    require_enough(len(found.images), folder, data)
    return found


def require_enough(count: int, folder: Path, data: DataConfig) -> None:
    """Raise UserError unless that many images are enough to test, validate and train with."""
    left = count - data.num_test_images(count)
    if left < 2 * MIN_SET_SIZE:
        raise UserError(
            f"{folder} has {count} images, of which data.test_size keeps "
            f"{data.num_test_images(count)} for the test: too few are left; the least are "
            f"{MIN_SET_SIZE} to test, {MIN_SET_SIZE} to validate and {MIN_SET_SIZE} to train with"
        )


def read_folder(folder: Path, data: DataConfig) -> Dataset:
    """Make the folder's images a dataset of squares, and say what was found.

    Equal images lie on one side of the test. Labels are the first level's subfolders in the order
    of their names, all 0 where there are none. Raises UserError for damaged files, unless
    `data.skip_damaged`, and for too few images.
    """
    found = list_folder(folder, data)
    images = read_images(folder, found.images, data.image_size)
    _report_damage(images.damaged, folder, len(found.images), data.skip_damaged)
    names = [name for name in found.images if name not in images.damaged]
    require_enough(len(names), folder, data)
    classes = classes_of(names)
    labels = _labels(classes)

    # One order for every machine: equal images are neighbors in it.
    order = sorted(range(len(names)), key=lambda i: (images.digests[i], labels[i]))
    num_test = data.num_test_images(len(names))
    while num_test < len(order) and _equal(images, order[num_test - 1], order[num_test]):
        num_test += 1
    if len(order) - num_test < 2 * MIN_SET_SIZE:
        raise UserError(f"{folder}: most of its {len(names)} images are the same, pixel by pixel")
    test, train = np.array(order[:num_test]), np.array(order[num_test:], np.int64)
    _report_contents(folder, found, classes, images, data.split_sizes(len(train)), num_test)
    pixels = images.pixels
    return Dataset.of_arrays(data.dataset, pixels[train], labels[train], pixels[test], labels[test])


def read_images(folder: Path, names: list[str], side: int) -> Images:
    """Decode the named files, some at once; if all images are gray, they have one channel."""
    pixels = np.empty((len(names), 3, side, side), np.uint8)
    digests: list[bytes] = []
    damaged: dict[str, str] = {}
    is_gray = True
    for name, result in zip(names, _decoded(folder, names, side), strict=True):
        if isinstance(result, str):
            damaged[name] = result
            continue
        is_gray = is_gray and bool((result == result[:1]).all())
        pixels[len(digests)] = result
        digests.append(hashlib.sha256(TEST_SEED + result.tobytes()).digest())
    return Images(pixels[: len(digests), : 1 if is_gray else 3], digests, damaged)


def _decoded(folder: Path, names: list[str], side: int) -> Iterator[np.ndarray | str]:
    """Yield of each file its square, or why there is none."""

    def decode(name: str) -> np.ndarray | str:
        try:
            return read_image(folder / name, side)
        except MemoryError:
            # No fault of the file.
            raise
        except UnidentifiedImageError:
            return "it is none of the kinds of images that are read"
        # Pillow raises many kinds for rubbish.
        except Exception as error:
            return first_line(error)[:150]

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeRemainingColumn(), disable=not sys.stdout.isatty())
    if progress.disable:
        logger.info("Reading %d images from %s ...", len(names), folder)
    with progress, ThreadPoolExecutor(NUM_THREADS) as pool, warnings.catch_warnings():
        # What Pillow finds odd and reads all the same.
        warnings.filterwarnings("ignore", module="PIL")
        task = progress.add_task("Reading images", total=len(names))
        for start in range(0, len(names), CHUNK_SIZE):
            for result in pool.map(decode, names[start : start + CHUNK_SIZE]):
                progress.advance(task)
                yield result


def _labels(classes: list[str | None]) -> np.ndarray:
    known = {name: label for label, name in enumerate(sorted({c for c in classes if c}))}
    dtype = np.uint8 if len(known) <= 256 else np.int64
    return np.array([known[name] if name else 0 for name in classes], dtype)


def _equal(images: Images, first: int, second: int) -> bool:
    return images.digests[first] == images.digests[second]


def _report_damage(damaged: dict[str, str], folder: Path, total: int, skip: bool) -> None:
    """Name the files that could not be read: as a warning, or as a UserError."""
    if not damaged:
        return
    lines = [f"  {name}: {reason}" for name, reason in sorted(damaged.items())]
    if len(lines) > NUM_DAMAGED_NAMED:
        lines[NUM_DAMAGED_NAMED:] = [f"  and {len(lines) - NUM_DAMAGED_NAMED} more"]
    listed = "\n".join(lines)
    if not skip:
        raise UserError(
            f"{len(damaged)} of {total} images in {folder} cannot be read; mend or remove them, or "
            f"set data.skip_damaged: true to go on without them\n{listed}"
        )
    logger.warning("%d of %d images are damaged and left out:\n%s", len(damaged), total, listed)


def _report_contents(
    folder: Path,
    found: FoundFiles,
    classes: list[str | None],
    images: Images,
    sizes: tuple[int, int | None],
    num_test: int,
) -> None:
    """Say what the dataset is made of, and what of the folder is not in it."""
    count, (val_size, train_size) = len(classes), sizes
    kind = "gray" if images.pixels.shape[1] == 1 else "color"
    logger.info(
        "%s: %d %s images, of which %d test, %d validate and %d train",
        *(folder, count, kind, num_test, val_size, train_size),
    )
    per_class = Counter(name for name in classes if name)
    if per_class:
        named = [f"{name} {number}" for name, number in sorted(per_class.items())]
        more = f" and {len(named) - NUM_NAMED} more" if len(named) > NUM_NAMED else ""
        logger.info("%d classes: %s%s", len(named), ", ".join(named[:NUM_NAMED]), more)
    else:
        logger.info("No labels: not every image lies in one of several subfolders")
    if repeats := count - len(set(images.digests)):
        logger.info(
            "Repeated, pixel by pixel: %d images; none is both in training and in the test", repeats
        )
    if found.ignored:
        suffixes = ", ".join(f"{name} {number}" for name, number in found.ignored.most_common(5))
        logger.info("Not images: %d files (%s)", found.ignored.total(), suffixes)
