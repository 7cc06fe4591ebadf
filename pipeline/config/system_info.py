"""What this machine is, for whoever reads a time, and the versions that matter."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def system_summary() -> str:
    """One line, for example `Linux x86_64, AMD EPYC, 2 cores, 24 GiB`."""
    import psutil

    parts = [f"{platform.system()} {platform.machine()}", _processor(), f"{os.cpu_count()} cores"]
    parts += [f"{psutil.virtual_memory().total / 2**30:.0f} GiB", *_gpus()]
    return ", ".join(part for part in parts if part)


def package_versions() -> dict[str, str]:
    """Of Python and of the packages that decide numbers or formats."""
    return {"python": platform.python_version()} | {
        name: version(name) for name in ("torch", "dvc", "mlflow")
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor()


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
