"""Whole-or-nothing writes: a file or folder appears complete under its name or not at all."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import UserError


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write, flush to the disk, then rename over `path`; parent folders are made. UserError if that fails."""
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; artefacts are as readable as any other file of the project.
            Path(name).chmod(0o644)
            Path(name).replace(path)
            _sync_folder(path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Readable JSON with a stable order, so that equal content is equal bytes; nan and inf are refused."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """A .npy file without pickles."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    write_bytes(path, file.getbuffer())


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A temporary sibling to fill; on success it replaces `path`, on any error it is removed."""
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        filling = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield filling
            filling.chmod(
                0o755
            )  # mkdtemp makes folders private; these are like any other of the project
            if path.exists():
                shutil.rmtree(path)
            filling.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(filling, ignore_errors=True)
            raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """The operating system's refusal (a full disk, a missing permission) with what was being written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"{path} cannot be written: {reason}; mend that and run again, nothing is half-done"
        ) from None


def _clear_leftovers(path: Path) -> None:
    """Remove what a killed process left half-written for the same path; nothing else has such a name."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """A rename survives a power loss once its folder is flushed too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
