"""How many cores and how much memory this process may use: of the machine, or of its container.

A container, a Slurm job or a systemd slice is a control group; its limits are in files. The
processor count of the machine says nothing about them.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

# A training of docs/performance.md's largest network takes 1.25 GiB, an evaluation about as much;
# other sections may take more.
RUN_MEMORY = 1_500 * 2**20
ROOT = Path("/")
logger = logging.getLogger(__name__)


def choose_num_jobs(num_cells: int) -> int:
    """Say how many stages go side by side: a core and RUN_MEMORY for each, at least one."""
    wanted = min(usable_cores(), num_cells)
    memory = available_memory()
    fitting = max(1, memory // RUN_MEMORY)
    if fitting < wanted:
        logger.warning(
            "%d stages side by side and not %d: %.1f GiB of memory are free, and one takes up "
            "to %.1f; `python -m pipeline repro --jobs %d` overrules that",
            *(fitting, wanted, memory / 2**30, RUN_MEMORY / 2**30, wanted),
        )
    return min(wanted, fitting)


def usable_cores(root: Path = ROOT) -> int:
    """Count the cores that this process may run on, by its affinity and its groups' quotas."""
    cores = float(os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    for group in control_groups("cpu", root):
        quota, period = _numbers(group / "cpu.max", 2)
        if quota is None:
            (quota,), (period,) = (
                _numbers(group / f"cpu.cfs_{name}_us", 1) for name in ("quota", "period")
            )
        if quota and quota > 0 and period:
            cores = min(cores, quota / period)
    return max(1, int(cores))


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes that are free: on the machine, and under every limit above this process."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for group in control_groups("memory", root):
        for limit_name, usage_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            (limit,), (used,) = (_numbers(group / name, 1) for name in (limit_name, usage_name))
            if limit is not None and used is not None:
                free = min(free, limit - used + _reclaimable(group))
    return max(0, free)


def control_groups(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield the folders of this process's groups and of all groups above, for one controller.

    Version 2 has one tree, version 1 a tree for each controller. In a container the listed path
    may be the host's: then the tree's own root is the container's group.
    """
    try:
        listed = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in filter(None, listed):
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            trees = [mount / controller, mount / controllers]
        elif not controllers:
            trees = [mount, mount / "unified"]
        else:
            continue
        for tree in trees:
            group = tree / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if _within(folder, tree))


def _within(folder: Path, tree: Path) -> bool:
    return folder.is_relative_to(tree) and folder.is_dir()


def _numbers(path: Path, count: int) -> list[int | None]:
    """Read whole numbers from a group's file; None for each that is `max`, or not there."""
    try:
        words = path.read_text().split()
    except OSError:
        words = []
    numbers = [int(word) if word.lstrip("-").isdigit() else None for word in words[:count]]
    return numbers + [None] * (count - len(numbers))


def _reclaimable(group: Path) -> int:
    """Return the bytes of cached files that the system gives back when memory is wanted."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    known = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(known.get("total_inactive_file", known.get("inactive_file", 0)))
