"""A folder that a group shares (umask 002): what one person's run writes, another's may replace."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage import atomic
from pipeline.storage.locks import run_lock


@pytest.fixture(params=[0o002, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_files_folders_and_locks_are_as_open_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    atomic.write_text(tmp_path / "new" / "file.json", "{}")
    with atomic.folder(tmp_path / "new" / "folder") as folder:
        atomic.write_text(folder / "inner.json", "{}")
    with run_lock(tmp_path / "new" / "lock", "run"):
        pass
    for name in ("file.json", "folder/inner.json", "lock"):
        assert mode(tmp_path / "new" / name) == 0o666 & ~umask
    for name in ("", "folder"):
        assert mode(tmp_path / "new" / name) == 0o777 & ~umask


def test_a_folders_group_is_handed_down(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    with atomic.folder(tmp_path / "folder"):
        pass
    assert mode(tmp_path / "folder") & stat.S_ISGID
