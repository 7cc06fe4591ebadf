"""Workers that die for memory: what was trained is no failure, the report is made, why is said."""

import logging
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from conftest import DVC_CONFIG, ROOT, SMALL, clean_environment, git_study

from pipeline import UserError
from pipeline.config.grid import deep_merge
from pipeline.config.paths import Paths
from pipeline.workflow import parallel, runner, workspace
from pipeline.workflow.workspace import create_workspace

pytestmark = [pytest.mark.slow, pytest.mark.long]
ONE = {"grid": {"variants": ["original"]}}


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


def study(root: Path, source: Path) -> Paths:
    changes = deep_merge(deep_merge(SMALL, ONE), {"download": {"source": str(source)}})
    create_workspace(ROOT, root, changes, DVC_CONFIG)
    return Paths(root)


def suicide(name: str, root: str) -> Callable[[], None]:
    """What the kernel does to a worker when memory runs out."""

    def task() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    return task


@contextmanager
def every_worker_killed() -> Iterator[None]:
    """No worker lives long enough to take a task; they have the name of Python's way to start."""
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "multiprocessing.spawn" in " ".join(process.cmdline()):
                        process.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    yield
    done.set()
    thread.join()


def test_under_a_limit_that_dask_would_enforce_the_study_is_complete(
    tmp_path: Path, mnist_root: Path
) -> None:
    """The case of the report: `ulimit -m 700000; python -m pipeline repro --jobs 2`."""
    git_study(tmp_path, {"download": {"source": str(mnist_root)}})
    limit = 700_000 * 1024
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "repro", "--jobs", "2"],
        cwd=tmp_path,
        env=clean_environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_RSS, (limit, limit)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    assert "alone" not in done.stdout, "nothing was killed"
    assert (tmp_path / "reports" / "report.md").exists()
    # Point 15: nobody watches, so every run's epochs are lines.
    for run in ("original-2-0", "pca_refined-2-0"):
        assert f"{run} epoch 2/2: loss" in done.stdout
    assert "━" not in done.stdout, "bars belong on a terminal"


def test_a_run_whose_workers_are_killed_is_trained_alone_and_is_no_failure(
    tmp_path: Path,
    mnist_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    paths = study(tmp_path, mnist_root)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(parallel, "_task", suicide)
    assert runner.repro(paths, jobs=1) == {}
    assert "original-2-0: its process was killed 2 times, most likely because" in caplog.text
    assert "it is tried again, alone" in caplog.text
    assert paths.metrics("original-2-0").exists()
    assert (tmp_path / "reports" / "report.md").exists()


def test_workers_that_die_while_they_start_hang_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LOOK_SECONDS", 2)
    task = parallel._task
    killer = every_worker_killed()

    def after_the_first_task(name: str, root: str) -> Callable[[], None]:
        killer.__enter__()
        return task(name, root)

    monkeypatch.setattr(parallel, "_task", after_the_first_task)
    try:
        reasons = parallel.train_in_parallel(Paths(ROOT), ["original-64-0"], 1, scheduler=None)
    finally:
        killer.__exit__(None, None, None)
    assert list(reasons) == ["original-64-0"]
    assert "most likely because" in reasons["original-64-0"]


def test_a_preset_says_why_its_runs_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "study"
    git_study(root, {})
    shutil.copy(ROOT / "dvc.yaml", root)
    monkeypatch.setattr(workspace, "repro", lambda paths: {"original-2-0": "out of memory"})
    with pytest.raises(UserError, match=r"1 run failed; .*`make demo` goes on"):
        workspace.run_preset(root, "demo")
    assert "original-2-0 failed: out of memory" in caplog.text
