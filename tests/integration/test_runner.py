"""Stages side by side give the files of a serial `dvc repro`; a failing one stops none."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
from conftest import DVC_CONFIG, ROOT, SMALL, clean_environment, git_study, outputs
from distributed import LocalCluster

from pipeline.config.grid import Config, deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.tracking.client import get_client, logged_epochs, search_training_runs
from pipeline.workflow import runner
from pipeline.workflow.dvc_command import run_dvc
from pipeline.workflow.plan import plan
from pipeline.workflow.workspace import create_workspace

pytestmark = pytest.mark.slow
# Seconds suffice on a machine that has nothing else to do.
WAIT_SECONDS = 600


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


def workspace(root: Path, source: Path, changes: dict) -> Paths:
    small = deep_merge(SMALL, {"download": {"source": str(source)}})
    create_workspace(ROOT, root, deep_merge(small, changes), DVC_CONFIG)
    return Paths(root)


def states(paths: Paths) -> dict[str, str]:
    return {status.stage: status.state for status in plan(load_config(paths.params), paths)}


def test_side_by_side_is_serial_byte_for_byte_and_trains_nothing_twice(
    trained: tuple[Config, Paths],
    tmp_path: Path,
    mnist_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    serial_config, serial = trained
    both = {"report": {"languages": serial_config.report.languages}}
    parallel = workspace(tmp_path / "parallel", mnist_root, both)
    config = load_config(parallel.params)
    assert set(states(parallel).values()) == {"stale"}
    assert runner.repro(parallel, jobs=2, scheduler=None) == {}
    links = caplog.messages[-2:]
    assert all("http://127.0.0.1:5000/#/experiments/1/runs?" in link for link in links), links
    assert outputs(parallel.root) == outputs(serial.root)
    assert set(states(parallel).values()) == {"up_to_date"}
    assert not list(parallel.root.glob(".checkpoints/*/epoch-*")), "finished states are forgotten"
    client = get_client(parallel)
    for run in search_training_runs(client, "vae-cifar10"):
        assert run.info.status == "FINISHED"
        assert logged_epochs(client, run.info.run_id) == {1, 2}
    from_the_run_cache(parallel, config, monkeypatch)


def from_the_run_cache(paths: Paths, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was removed comes from the run cache, and the report names its runs in another store."""
    paths.dvc_lock.unlink()
    shutil.rmtree(paths.root / "models")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/another.db")
    # DVC passes over what is damaged in its run cache.
    damaged = paths.root / ".dvc/cache/runs/ab/abc/abcd"
    damaged.parent.mkdir(parents=True)
    damaged.touch()
    assert states(paths)["evaluate@original-2-0"] == "cached"
    assert runner.repro(paths, jobs=2, scheduler=None) == {}
    runs = search_training_runs(get_client(paths), "vae-cifar10")
    named = {run.info.run_id for run in runs}
    assert len(named) == len(config.runs)
    assert set(pd.read_csv(paths.reports / "summary.csv")["mlflow_run_id"]) == named


@pytest.mark.parametrize("on_a_cluster", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_failing_run_is_reported_and_the_others_are_complete(
    tmp_path: Path, mnist_root: Path, on_a_cluster: bool, caplog: pytest.LogCaptureFixture
) -> None:
    wild = {"variants": {"original": {"train": {"learning_rate": 1e30, "clip_grad_norm": 1e30}}}}
    paths = workspace(tmp_path / "wild", mnist_root, wild)
    with ExitStack() as stack:
        scheduler = None
        if on_a_cluster:
            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
            scheduler = stack.enter_context(cluster).scheduler_address
        errors = runner.repro(paths, jobs=2, scheduler=scheduler)
    assert list(errors) == ["train@original-2-0"]
    assert errors["train@original-2-0"].startswith("training diverged")
    assert "alone" not in caplog.text, "it would diverge again"
    assert paths.metrics("pca_refined-2-0").exists()
    assert not paths.model("original-2-0").exists()
    stale = {stage for stage, state in states(paths).items() if state != "up_to_date"}
    assert stale == {f"{kind}@original-2-0" for kind in ("train", "sample", "evaluate")} | {
        "report"
    }


@pytest.mark.parametrize(
    ("send", "number", "status"),
    [
        pytest.param(os.killpg, signal.SIGINT, 130, id="ctrl_c"),
        pytest.param(os.kill, signal.SIGTERM, 143, id="kill", marks=pytest.mark.long),
    ],
)
def test_ctrl_c_and_kill_end_every_stage_and_the_same_command_goes_on(
    tmp_path: Path,
    mnist_root: Path,
    send: Callable[[int, int], None],
    number: signal.Signals,
    status: int,
) -> None:
    # Both trainings begin at once, and the smaller network is not done before the other's epoch.
    long = {"train": {"epochs": 20}, "variants": {"original": {"train": {"epochs": 200}}}}
    git_study(tmp_path, deep_merge(long, {"download": {"source": str(mnist_root)}}))
    run_dvc(tmp_path, "repro", "--quiet", "baselines")
    command = [sys.executable, "-m", "pipeline", "repro", "--jobs", "2"]
    first = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: num_trainings(tmp_path) == 2)
        send(first.pid, number)
        said, _ = first.communicate(timeout=WAIT_SECONDS)
    except BaseException:
        os.killpg(first.pid, signal.SIGKILL)
        raise
    assert first.returncode == status, said
    assert "Traceback" not in said
    assert not [process for process in psutil.process_iter() if works_in(process, tmp_path)]
    assert not list(tmp_path.glob("models/*-2-0")), "both were cut off"
    second = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert second.returncode == 0, second.stdout + second.stderr
    for run in ("original-2-0", "pca_refined-2-0"):
        assert f"{run}: resumed after epoch " in second.stdout
    assert set(states(Paths(tmp_path)).values()) == {"up_to_date"}


def num_trainings(root: Path) -> int:
    """Count those that have finished an epoch."""
    return len({path.parent for path in root.glob(".checkpoints/*/epoch-*")})


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


def works_in(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error):
        return Path(process.cwd()) == folder
    return False
