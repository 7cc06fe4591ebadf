"""A reproducible, experiment-tracked study of variational autoencoders on CIFAR-10."""

import logging
import sys


class UserError(Exception):
    """What a person can mend: the message says what, where and what to do; no traceback."""


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
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logger.setLevel(logging.INFO)
