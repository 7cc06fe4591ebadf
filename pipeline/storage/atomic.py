"""Whole-or-nothing writes: a file or folder appears complete under its name or not at all."""

import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import UserError


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write, flush to the disk, then rename over `path`; parent folders are made.

    Raises UserError if the system refuses.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        beside = _beside(path)
        try:
            # Not a private file of `tempfile`: whom it is open to, the umask decides.
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON in a stable order, so that equal content is equal bytes.

    Raises ValueError for nan and inf.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file without pickles."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    write_bytes(path, file.getbuffer())


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Give a temporary sibling to fill; on success it replaces `path`, on any error it is removed.

    Raises UserError if the system refuses.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        filling = _beside(path)
        filling.mkdir()
        try:
            yield filling
            if path.exists():
                shutil.rmtree(path)
            filling.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(filling, ignore_errors=True)
            raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the system's refusal (a full disk, a missing permission) into a UserError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"{path} cannot be written: {reason}; mend that and run again, nothing is half-done"
        ) from None


def _beside(path: Path) -> Path:
    """Name a new sibling, which `_clear_leftovers` finds."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")


def _clear_leftovers(path: Path) -> None:
    """Remove what a killed process left half-written for the same path; a living one is at it."""
    from psutil import pid_exists

    # Of `.env` in the name of `env.local`, or an editor's copy, nothing is meant.
    half_written = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.[0-9a-f]{{8}}\.part")
    for leftover in list(path.parent.iterdir()):
        found = half_written.fullmatch(leftover.name)
        if found is None or pid_exists(int(found[1])):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """Flush a folder to the disk: only then a rename in it survives a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
