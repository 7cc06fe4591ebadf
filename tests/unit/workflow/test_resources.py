"""The cores and the memory of a container, read from control groups of both versions."""

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pipeline.workflow import resources

GIB = 2**30
JOB = "/slurm/job_7/step_0"


def groups(root: Path, listed: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": listed, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(available=64 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)


@pytest.mark.parametrize(
    ("listed", "files", "cores", "memory"),
    [
        # A container of version 2, which sees its own group as the root.
        (
            "0::/",
            {
                "sys/fs/cgroup/cpu.max": "250000 100000",
                "sys/fs/cgroup/memory.max": str(8 * GIB),
                "sys/fs/cgroup/memory.current": str(6 * GIB),
                "sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {2 * GIB}",
            },
            2,
            4 * GIB,
        ),
        # A job in a group below its user's: the tighter limit holds, wherever it stands.
        (
            f"0::{JOB}",
            {
                f"sys/fs/cgroup{JOB}/cpu.max": "max 100000",
                "sys/fs/cgroup/slurm/cpu.max": "400000 100000",
                f"sys/fs/cgroup{JOB}/memory.max": str(3 * GIB),
                f"sys/fs/cgroup{JOB}/memory.current": str(GIB),
                "sys/fs/cgroup/slurm/memory.max": "max",
                "sys/fs/cgroup/slurm/memory.current": str(9 * GIB),
            },
            4,
            2 * GIB,
        ),
        # Version 1, whose container lists the host's paths.
        (
            "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/",
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(5 * GIB),
                "sys/fs/cgroup/memory/memory.usage_in_bytes": str(2 * GIB),
                "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {GIB}",
            },
            1,
            4 * GIB,
        ),
        # No limit: version 1 writes a number beyond any machine, and a quota of -1.
        (
            "4:memory:/\n1:cpu:/",
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "0",
            },
            16,
            64 * GIB,
        ),
        ("", {}, 16, 64 * GIB),
    ],
)
def test_limits_of_control_groups(
    tmp_path: Path, listed: str, files: dict[str, str], cores: int, memory: int
) -> None:
    root = groups(tmp_path, listed, files)
    assert resources.usable_cores(root) == cores
    assert resources.available_memory(root) == memory


def test_without_control_groups_the_machine_and_the_affinity_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert resources.usable_cores(tmp_path) == 2
    assert resources.available_memory(tmp_path) == 64 * GIB


def test_fewer_stages_where_memory_is_short_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resources, "usable_cores", lambda: 8)
    monkeypatch.setattr(resources, "available_memory", lambda: 64 * GIB)
    assert resources.choose_num_jobs(20) == 8
    assert resources.choose_num_jobs(3) == 3
    assert caplog.text == ""
    monkeypatch.setattr(resources, "available_memory", lambda: 5 * GIB)
    assert resources.choose_num_jobs(20) == 3
    assert "3 stages side by side and not 8: 5.0 GiB of memory are free" in caplog.text
    monkeypatch.setattr(resources, "available_memory", lambda: 0)
    assert resources.choose_num_jobs(20) == 1, "one is always tried"


def test_this_very_machine_has_a_core_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 1 <= resources.usable_cores() <= os.cpu_count()
    assert 0 < resources.available_memory() <= psutil.virtual_memory().total
