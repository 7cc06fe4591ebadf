"""Runs trained side by side give the files of a serial `dvc repro`; a failing one stops none."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import DVC_CONFIG, ROOT, SMALL, outputs
from distributed import LocalCluster

from pipeline.config.grid import Config, deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.tracking.client import get_client, logged_epochs, search_training_runs
from pipeline.workflow import runner
from pipeline.workflow.workspace import create_workspace

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


def workspace(root: Path, source: Path, changes: dict) -> Paths:
    small = deep_merge(SMALL, {"download": {"source": str(source)}})
    create_workspace(ROOT, root, deep_merge(small, changes), DVC_CONFIG)
    return Paths(root)


def test_side_by_side_is_serial_byte_for_byte_and_trains_nothing_twice(
    trained: tuple[Config, Paths], tmp_path: Path, mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, serial = trained
    parallel = workspace(tmp_path / "parallel", mnist_root, {})
    config = load_config(parallel.params)
    assert runner.stale_runs(parallel, config) == ["original-2-0", "pca_refined-2-0"]
    assert runner.repro(parallel, jobs=2, scheduler=None) == {}
    assert outputs(parallel.root) == outputs(serial.root)
    assert runner.stale_runs(parallel, config) == []
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
    assert runner.stale_runs(paths, config) == []
    assert runner.repro(paths, jobs=2, scheduler=None) == {}
    runs = search_training_runs(get_client(paths), "vae-cifar10")
    named = {run.info.run_id for run in runs}
    assert len(named) == len(config.runs)
    assert set(pd.read_csv(paths.reports / "summary.csv")["mlflow_run_id"]) == named


def test_a_failing_run_is_reported_and_the_others_are_complete(
    tmp_path: Path, mnist_root: Path
) -> None:
    wild = {"variants": {"original": {"train": {"learning_rate": 1e30, "clip_grad_norm": 1e30}}}}
    paths = workspace(tmp_path / "wild", mnist_root, wild)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        errors = runner.repro(paths, jobs=2, scheduler=cluster.scheduler_address)
    assert list(errors) == ["original-2-0"]
    assert errors["original-2-0"].startswith("training diverged")
    assert paths.metrics("pca_refined-2-0").exists()
    assert not paths.model("original-2-0").exists()
