"""The lock of a run, also where a cluster's file system has none."""

import errno
import logging
import multiprocessing
import os
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.storage.locks import is_locked, run_lock


def hold(path: Path, held: "multiprocessing.synchronize.Event") -> None:
    with run_lock(path, "original-64-0"):
        held.set()
        os._exit(0)


def test_a_lock_is_seen_while_it_is_held_and_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    assert not is_locked(path)
    with run_lock(path, "original-64-0"):
        assert is_locked(path)
    assert not is_locked(path)
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=hold, args=(path, held))
    process.start()
    process.join()
    assert held.is_set()
    assert not is_locked(path), "a killed process holds nothing"


def test_a_file_system_without_locks_is_said_and_nothing_is_thought_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(lock: FileLock, *_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    path = tmp_path / "lock"
    path.touch()
    monkeypatch.setattr(FileLock, "acquire", refuse)
    caplog.set_level(logging.INFO)
    with run_lock(path, "original-64-0"):
        assert is_locked(path)
    assert "has no locks (No locks available): see that one process trains" in caplog.text
