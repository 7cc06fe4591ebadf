"""What this machine is, for whoever reads a time, and the versions that matter."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def system_summary() -> str:
    """Say the machine in one line, such as `Linux x86_64, AMD EPYC, 2 cores, 24 GiB`."""
    import psutil

    memory_gib = psutil.virtual_memory().total / 2**30
    parts = [
        f"{platform.system()} {platform.machine()}",
        _processor(),
        f"{os.cpu_count()} cores",
        f"{memory_gib:.0f} GiB",
        *_gpus(),
    ]
    return ", ".join(part for part in parts if part)


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide numbers or formats.

    Stages work without DVC and MLflow: what is not installed is left out.
    """
    versions = {"python": platform.python_version()}
    for name in ("torch", "dvc", "mlflow"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _processor() -> str:
    """Return the processor's name, as Linux or else Python knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _gpus() -> list[str]:
    """Return the name of each CUDA device."""
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
