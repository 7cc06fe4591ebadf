"""A fetched dataset: uint8 arrays to `data/<dataset>/` and back."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import UserError
from pipeline.storage import atomic

PARTS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [N, C, H, W], C = 3 or 1; labels, integers [N]; the SHA-256 of all four arrays.

    H = W = 32, or what data.image_size makes of a folder's images. Where there are no classes, all
    labels are 0.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    sha256: str

    @classmethod
    def of_arrays(cls, name: str, *arrays: np.ndarray) -> "Dataset":
        """Name the four arrays, in the order of PARTS, with their digest."""
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
        return cls(name=name, sha256=digest.hexdigest(), **dict(zip(PARTS, arrays, strict=True)))


def save_dataset(dataset: Dataset, path: Path) -> None:
    """Write the arrays (.npy, no pickles) and a description of them."""
    description: dict[str, object] = {"name": dataset.name, "sha256": dataset.sha256}
    with atomic.folder(path) as folder:
        for part in PARTS:
            array = getattr(dataset, part)
            atomic.write_array(folder / f"{part}.npy", array)
            description[part] = list(array.shape)
        atomic.write_json(folder / "dataset.json", description)


def load_dataset(path: Path) -> Dataset:
    """Open a saved dataset; arrays are mapped from the disk. UserError if it is not whole."""
    try:
        description = json.loads((path / "dataset.json").read_text())
        arrays = {}
        for part in PARTS:
            arrays[part] = np.load(path / f"{part}.npy", mmap_mode="r", allow_pickle=False)
            if list(arrays[part].shape) != description[part]:
                raise ValueError("its arrays do not have the sizes that dataset.json says")
        return Dataset(name=description["name"], sha256=description["sha256"], **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(
            f"{path} is not a fetched dataset: {error}; run `dvc repro fetch`"
        ) from None
