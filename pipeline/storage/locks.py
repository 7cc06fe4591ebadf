"""One process at a time trains a run; others wait, or see that it is being trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def run_lock(lock: Path, name: str) -> Iterator[None]:
    """Hold the lock of the run called `name`: a second process that trains the same waits until the first is done."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"{name}: another process is training this very run; waiting for it", flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def is_locked(lock: Path) -> bool:
    """Whether a living process holds the lock; the operating system releases those of dead ones."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
