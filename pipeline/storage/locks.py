"""One process at a time trains a run; others wait, or see that it is being trained."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline import first_line

logger = logging.getLogger(__name__)


@contextmanager
def run_lock(path: Path, name: str) -> Iterator[None]:
    """Hold the lock of the run called `name`; a second process that trains the same waits.

    It holds over the nodes of a cluster where their file system has locks, as NFS and Lustre have.
    Where it has none, that is said, and the run goes on without.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        _acquire(lock, path, name)
    except OSError as error:
        reason = error.strerror or first_line(error)
        logger.warning(
            "%s: its file system has no locks (%s): see that one process trains %s",
            path,
            reason,
            name,
        )
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, path: Path, name: str) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info(
            "%s: another process is training this very run; waiting for it (its lock is %s)",
            name,
            path,
        )
        lock.acquire()


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds the lock; the system releases those of dead ones."""
    if not path.exists():
        return False
    with free_lock(path) as free:
        return not free


@contextmanager
def free_lock(path: Path) -> Iterator[bool]:
    """Hold a lock that no living process holds, and tell whether it was free.

    Where the file system has no locks nobody knows, and the answer is the careful one.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
