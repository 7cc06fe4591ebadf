"""Is a folder of one's own images still as `fetch` read it? DVC does not look outside the project.

What is compared are names, sizes and times, of this machine alone: they only decide whether the
images are read again. The dataset that comes out follows from the images.
"""

import hashlib
from pathlib import Path
from typing import Any

from pipeline import UserError
from pipeline.config.data import FOLDER
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.download.folder import list_folder, require_folder
from pipeline.download.image_files import find_images
from pipeline.storage import atomic
from pipeline.storage.reading import read_json


def folder_state(folder: Path) -> dict[str, Any]:
    """Return the folder's path, how many images are in it, and a digest of their files' states."""
    images = find_images(folder).images
    digest = hashlib.sha256()
    for name in images:
        digest.update(f"{name}\0{_file_state(folder / name)}\n".encode(errors="replace"))
    return {"folder": str(folder), "num_images": len(images), "sha256": digest.hexdigest()}


def _file_state(path: Path) -> str:
    """Return a file's size and time; a link that leads nowhere has none."""
    try:
        status = path.stat()
    except OSError:
        return "none"
    return f"{status.st_size}\0{status.st_mtime_ns}"


def remember_folder(paths: Paths, state: dict[str, Any], dataset_sha256: str) -> None:
    """Keep what the folder was before it was read, and which dataset came out."""
    atomic.write_json(paths.folder_state, state | {"dataset_sha256": dataset_sha256})


def folder_changes(config: Config, paths: Paths) -> str | None:
    """Say why the fetched dataset may not be the folder's; None if it is, or nobody can tell.

    Nobody can where the study came with its dataset and the folder is another machine's. Where the
    dataset was removed, DVC's run cache would give back the one that was read last.
    """
    if config.data.dataset != FOLDER:
        return None
    described = paths.dataset(FOLDER) / "dataset.json"
    if not described.exists() and not paths.folder_state.exists():
        return None
    try:
        folder = require_folder(paths.of_user(config.download.source))
        now = folder_state(folder)
    except (UserError, OSError):
        return None
    kept = read_json(paths.folder_state) if paths.folder_state.exists() else {}
    if kept.get("folder") != now["folder"]:
        return f"{described.parent} was not read from {folder}"
    if kept["num_images"] != now["num_images"]:
        return f"{folder} has {now['num_images']} images, {kept['num_images']} when it was read"
    if kept["sha256"] != now["sha256"]:
        return f"images in {folder} have changed"
    if described.exists() and kept["dataset_sha256"] != read_json(described).get("sha256"):
        return f"{described.parent} is not what was last read from {folder}"
    return None


def describe_folder(config: Config, paths: Paths) -> str:
    """Say what the folder's images become. Raises UserError if nothing, or too few for the runs."""
    try:
        folder = require_folder(paths.of_user(config.download.source))
    except UserError as error:
        if not paths.dataset(FOLDER).exists():
            raise
        return f"{paths.dataset(FOLDER)} stays as it is: {error}"
    total = len(list_folder(folder, config.data).images)
    num_test = config.data.num_test_images(total)
    val_size, train_size = config.data.split_sizes(total - num_test)
    side = config.data.image_size
    for run in config.runs:
        _val_size, fitted = run.data.split_sizes(total - num_test)
        run.require_fit(fitted or 0, (3, side, side))
    return (
        f"{folder}: {total} images, if none is damaged, of which {num_test} test, {val_size} "
        f"validate and {train_size} train"
    )
