"""A Dask scheduler that is not there, dies, or whose workers would train something else."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT, clean_environment

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.workflow import cluster, worker_check

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def dask(command: str, *arguments: str, cwd: Path) -> "subprocess.Popen[bytes]":
    whole = [sys.executable, "-m", f"distributed.cli.dask_{command}", *arguments, "--no-dashboard"]
    return subprocess.Popen(whole, cwd=cwd, env=clean_environment(), stderr=subprocess.DEVNULL)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A scheduler in a process of its own, and a worker that was started in another folder."""
    port = str(free_port())
    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", port, cwd=tmp_path)
    address = f"tcp://127.0.0.1:{port}"
    worker = dask("worker", address, "--nthreads", "1", "--no-nanny", cwd=tmp_path)
    yield SimpleNamespace(address=address, scheduler=scheduler)
    for process in (worker, scheduler):
        process.kill()
        process.wait()


def nap(name: str, root: str, here: dict[str, str]) -> Callable[[], None]:
    def task() -> None:
        import time

        time.sleep(60)

    return task


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://127.0.0.1", "http://x:1", "no"])
def test_nobody_there_is_one_line_within_seconds(address: str) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match="no Dask scheduler answers there") as caught:
        cluster.check_scheduler(address)
    assert time.monotonic() - start < 2 * cluster.CONNECT_SECONDS
    assert len(str(caught.value).splitlines()) == 1
    assert address in str(caught.value)


def test_the_verb_says_it_before_anything_is_downloaded(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "repro", "--scheduler", "tcp://127.0.0.1:1"]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: --scheduler tcp://127.0.0.1:1: no Dask scheduler")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Running stage" not in done.stdout


@pytest.mark.parametrize("moment", ["check", "training"])
def test_a_scheduler_that_dies_is_one_line(
    running: SimpleNamespace, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies() -> None:
        time.sleep(1)
        running.scheduler.kill()

    killer = threading.Thread(target=dies)
    if moment == "check":
        # The worker takes seconds to start: whoever waits for it is waiting now.
        monkeypatch.setattr(cluster, "check_workers", lambda *_: (killer.start(), time.sleep(60)))
    else:
        monkeypatch.setattr(cluster, "check_workers", lambda *_: killer.start())
    monkeypatch.setattr(cluster, "_task", nap)
    start = time.monotonic()
    with pytest.raises(UserError, match="went away while runs were trained; their checkpoints"):
        cluster.train_on_cluster(Paths(ROOT), ["a", "b"], running.address)
    assert time.monotonic() - start < 30
    killer.join()


def test_workers_that_would_train_something_else_are_refused(
    running: SimpleNamespace,
) -> None:
    """A worker started anywhere finds the project; other code, versions, folders are named."""
    with cluster.connect(running.address) as client:
        here = worker_check.describe(str(ROOT))
        worker_check.check_workers(client, str(ROOT), here)

        with pytest.raises(UserError, match="it does not see the folder /nowhere/study"):
            worker_check.check_workers(client, "/nowhere/study", here)

        for name in here:
            other = here | {name: "another"}
            with pytest.raises(UserError, match=f"{name} is .* there and another here"):
                worker_check.check_workers(client, str(ROOT), other)


def test_a_worker_that_joined_late_and_would_train_something_else_says_so(
    running: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "check_workers", lambda *_: None)
    monkeypatch.setattr(cluster, "describe", lambda root: {"torch": "another"})
    failures = cluster.train_on_cluster(Paths(ROOT), ["original-64-0"], running.address)
    (failure,) = failures.values()
    assert list(failures) == ["train@original-64-0"]
    assert "torch is " in failure.reason
    assert "there and another here" in failure.reason


def test_a_worker_that_lacks_a_package_is_said() -> None:
    lacking = ModuleNotFoundError("No module named 'torch'")
    said = worker_check.find_difference(lacking, {}, "/study")
    assert said == "it cannot run this project (No module named 'torch')"
