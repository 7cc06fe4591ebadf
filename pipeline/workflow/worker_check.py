"""Whether a cluster's workers would train what this process would: same folder, code, versions.

A checkpoint is found by its fingerprint. A worker with other code or another torch would train for
hours under a fingerprint that nobody here asks for.
"""

import hashlib
import json
import logging
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import UserError, first_line
from pipeline.config.paths import Paths

logger = logging.getLogger(__name__)


def check_workers(client: Any, root: str, here: dict[str, str]) -> None:
    """Wait for a first worker; raise UserError if any would train something else than `here`."""
    if not client.scheduler_info(n_workers=-1)["workers"]:
        address = client.scheduler.address
        logger.info("%s has no workers yet; waiting for `dask worker %s`", address, address)
        client.wait_for_workers(1)
    answers = client.run(_question(root), on_error="return")
    problems = [
        f"worker {address}: {problem}"
        for address, answer in answers.items()
        if (problem := find_difference(answer, here, root))
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(
            f"{problems[0]}{more}; what it trains would not be taken up here: start workers with "
            f"this project's environment, where {root} is the same folder"
        )


def describe(root: str) -> dict[str, str]:
    """Return what decides a fingerprint in this process, and which params.yaml it reads."""
    import torch

    from pipeline.training.device import get_device, resolve_precision
    from pipeline.workflow.fingerprint import source_hashes

    sources = json.dumps(source_hashes(Path(__file__).parent.parent), sort_keys=True).encode()
    device = get_device()
    return {
        "params.yaml": digest(Paths(Path(root)).params.read_bytes()),
        "the project's code": digest(sources),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "the device": device.type,
        "precision auto": resolve_precision("auto", device),
    }


def find_difference(answer: Any, here: dict[str, str], root: str) -> str | None:
    """Say what a worker's answer shows to be another than `here`; None if nothing is."""
    if isinstance(answer, FileNotFoundError):
        return f"it does not see the folder {root}"
    if isinstance(answer, BaseException):
        return f"it cannot run this project ({first_line(answer)})"
    for name, value in here.items():
        if answer.get(name) != value:
            return f"{name} is {answer.get(name)} there and {value} here"
    return None


def _question(root: str) -> Callable[[], dict[str, str]]:
    """Return `describe(root)` as a function that is sent by value."""
    find = import_from(root)

    def question() -> dict[str, str]:
        find()
        from pipeline.workflow.worker_check import describe

        return describe(root)

    return question


def import_from(root: str) -> Callable[[], None]:
    """Return a function that makes this package importable from the folder `root`.

    Dask sends functions of a module by its name, which fails where the module is not found; a
    nested function is sent whole.
    """

    def find() -> None:
        import importlib.util
        import os
        import sys

        if not os.path.isdir(root):  # noqa: PTH112  # nothing of this module is known there
            raise FileNotFoundError(root)
        if importlib.util.find_spec("pipeline") is None:
            sys.path.insert(0, root)

    return find


def digest(content: bytes) -> str:
    """Return twelve hexadecimal digits that tell contents apart."""
    return hashlib.sha256(content).hexdigest()[:12]
