"""A reproducible, experiment-tracked study of variational autoencoders on CIFAR-10."""

# Also an old Python has to come as far as to say that it is too old.
from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """What a person can mend: the message says what, where and what to do; no traceback."""


@contextmanager
def command_line() -> Iterator[None]:
    """Run a command: show messages while it works, end it in one clear line if it cannot.

    What a person can mend, and what the system refuses, exits with 1 and `error: ...`; Ctrl-C with
    130, a polite kill, which unwinds the stack alike, with 143. Whatever is a mistake of this
    program's keeps its traceback.
    """
    if sys.version_info < (3, 11):  # noqa: UP036  # whichever `python` a shell finds
        sys.exit(f"error: {sys.executable} is Python {sys.version.split()[0]}; 3.11 is needed")
    start_logging()
    # Temporary files go, what was started is ended, the tracker is told.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        # DVC runs the `python` of its shell, whoever's dvc it was.
        sys.exit(f"error: {foreign_python(error)}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(
            "error: out of memory; lower train.batch_size or model.channels, or close other "
            "programs; if it is a GPU that is full, VAE_DEVICE=cpu works without it"
        )
    except OSError as error:
        # A full disk, a missing permission: the system's own words and the file name say it all.
        sys.exit(f"error: {error}")


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out.

    PyTorch's CPU allocator raises a plain RuntimeError, its CUDA allocator a subclass of it.
    """
    asked = isinstance(error, RuntimeError) and lacks_memory(str(error))
    return isinstance(error, MemoryError) or asked


def lacks_memory(said: str) -> bool:
    """Tell whether words are those of an allocator, of CUDA's libraries or of the loader."""
    words = ("allocate", "out of memory", "ALLOC_FAILED", "MemoryError", "failed to map segment")
    return any(each in said for each in words)


def foreign_python(error: ModuleNotFoundError) -> str:
    """Say that this Python is not the project's, which lacks no package. Its own modules: raise."""
    if (error.name or "").partition(".")[0] == __name__:
        raise error
    return (
        f"{sys.executable} has no package {error.name}: it is not this project's environment; "
        "`source .venv/bin/activate` first, or use make"
    )


def start_logging() -> None:
    """Show this package's messages, and no other's, on standard output as they are."""
    logger = logging.getLogger(__name__)
    # A reader that has gone, as in `| head`, is told nothing.
    logging.raiseExceptions = False
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logger.setLevel(logging.INFO)
        # Libraries give the root logger a handler of their own: each line would stand twice.
        logger.propagate = False
