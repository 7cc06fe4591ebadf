"""The loops that `make bench` compares can be run: an epoch of each, on a few images."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from tracked_runs import empty_database

from benchmarks.loops import LOOPS
from pipeline.data.dataset import Dataset, save_dataset


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bench is called: with params.yaml, images, and a store of its own."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), dtype=np.uint8)
    labels = np.zeros(64, dtype=np.int64)
    dataset = Dataset.of_arrays("cifar10", images, labels, images, labels)
    save_dataset(dataset, tmp_path / "data" / "cifar10")
    shutil.copy(empty_database(), tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_runs(name: str) -> None:
    epochs = LOOPS[name](64, {"num_threads": "1"})
    assert math.isfinite(next(epochs))
    assert math.isfinite(next(epochs))
    epochs.close()
