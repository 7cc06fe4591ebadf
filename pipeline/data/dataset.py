"""A fetched dataset: uint8 arrays to `data/<dataset>/` and back."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import UserError
from pipeline.storage import atomic

PARTS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [N, C, 32, 32], C = 3 or 1; labels uint8 [N]; the SHA-256 of all four arrays."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    sha256: str


def save(dataset: Dataset, path: Path) -> None:
    """Write the arrays (.npy, no pickles) and a description of them."""
    with atomic.folder(path) as folder:
        for part in PARTS:
            atomic.write_array(folder / f"{part}.npy", getattr(dataset, part))
        description: dict[str, object] = {"name": dataset.name, "sha256": dataset.sha256}
        description |= {part: list(getattr(dataset, part).shape) for part in PARTS}
        atomic.write_json(folder / "dataset.json", description)


def load(path: Path) -> Dataset:
    """Open a saved dataset; the arrays are mapped from the disk, not read. UserError if it is not whole."""
    try:
        description = json.loads((path / "dataset.json").read_text())
        arrays = {part: np.load(path / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in PARTS}
        if any(list(array.shape) != description[part] for part, array in arrays.items()):
            raise ValueError("its arrays do not have the sizes that dataset.json says")
        return Dataset(name=description["name"], sha256=description["sha256"], **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(f"{path} is not a fetched dataset: {error}; run `dvc repro fetch`") from None
