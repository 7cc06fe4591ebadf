"""Stages that die for memory beside others: each is tried alone, is no failure, and why is said."""

import logging
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from conftest import DVC_CONFIG, ROOT, SMALL, clean_environment, git_study, outputs

from pipeline import UserError
from pipeline.config.grid import deep_merge
from pipeline.config.paths import Paths
from pipeline.workflow import runner, untracked, workspace
from pipeline.workflow.workspace import create_workspace

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        # Set first: what is not there is not put back as it was, and `run_preset` names a store.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@contextmanager
def once(stage: str, act: Callable[[psutil.Process], object]) -> Iterator[None]:
    """Do something to the first process of a stage, and nothing to those of a second try."""
    over = threading.Event()

    def watch() -> None:
        seen = False
        while not over.wait(0.02):
            found = [p for p in psutil.Process().children(recursive=True) if runs(p, stage)]
            for process in found:
                with suppress(psutil.NoSuchProcess):
                    act(process)
            if seen and not found:
                return
            seen = seen or bool(found)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    over.set()
    thread.join()


def runs(process: psutil.Process, stage: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        return f"pipeline.stages {stage}" in " ".join(process.cmdline())
    return False


def starve(process: psutil.Process) -> None:
    """Leave a process too little memory to load its libraries."""
    process.rlimit(psutil.RLIMIT_AS, (300 * 2**20, 300 * 2**20))


def kill(process: psutil.Process) -> None:
    """What the kernel does where the machine's memory runs out."""
    process.send_signal(signal.SIGKILL)


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


def test_stages_that_lack_memory_beside_others_are_no_failure(
    tmp_path: Path, mnist_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = deep_merge(SMALL, {"download": {"source": str(mnist_root)}})
    for name in ("starved", "undisturbed"):
        create_workspace(ROOT, tmp_path / name, changes, DVC_CONFIG)
    caplog.set_level(logging.INFO)
    with once("sample original-2-0", starve), once("train pca_refined-2-0", kill):
        assert runner.repro(Paths(tmp_path / "starved"), jobs=2) == {}
    assert "sample@original-2-0 failed: out of memory beside the others" in caplog.text
    assert "train@pca_refined-2-0 failed: ended without a word, most likely because" in caplog.text
    again = [line for line in caplog.messages if line.startswith("Trying again, alone: ")]
    assert len(again) == 1
    assert set(again[0].partition(": ")[2].split(", ")) == {
        "sample@original-2-0",
        "train@pca_refined-2-0",
    }
    assert runner.repro(Paths(tmp_path / "undisturbed"), jobs=2) == {}
    assert outputs(tmp_path / "starved") == outputs(tmp_path / "undisturbed")


def test_without_dvc_a_killed_stage_is_tried_again_and_no_training_is_repeated(
    tmp_path: Path,
    mnist_root: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes = deep_merge(SMALL, {"download": {"source": str(mnist_root)}})
    create_workspace(ROOT, tmp_path, changes, DVC_CONFIG)
    with once("sample original-2-0", kill):
        untracked.run_study(Paths(tmp_path), jobs=2)
    assert "Trying again, alone: sample@original-2-0" in caplog.messages
    said = capfd.readouterr().out
    assert said.count("original-2-0 epoch 1/2: ") == 1
    assert (tmp_path / "reports" / "report.md").exists()
    before = outputs(tmp_path)
    untracked.run_study(Paths(tmp_path), jobs=2)
    assert "epoch 1/2" not in capfd.readouterr().out, "what is trained is not trained again"
    assert outputs(tmp_path) == before


def test_a_preset_says_why_its_stages_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "study"
    git_study(root, {})
    shutil.copy(ROOT / "dvc.yaml", root)
    monkeypatch.setattr(workspace, "repro", lambda paths: {"train@original-2-0": "out of memory"})
    with pytest.raises(UserError, match=r"1 stage failed; .*`make demo` goes on"):
        workspace.run_preset(root, "demo")
    assert "train@original-2-0 failed: out of memory" in caplog.text
