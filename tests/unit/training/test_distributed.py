"""One run over two processes is the run of one: the same batches, eps and weights.

Up to the rounding of sums.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import DVC_CONFIG, ROOT, SMALL, clean_environment

from pipeline.config.grid import deep_merge
from pipeline.config.paths import Paths
from pipeline.models.vae import VAE
from pipeline.tracking import client
from pipeline.workflow.workspace import create_workspace

pytestmark = [pytest.mark.slow, pytest.mark.long]
RUNS = ("original-2-0", "pca_refined-2-0")


def trained_by(world_size: int, root: Path, source: Path, command: list[str]) -> Paths:
    # In fp32: a sum of two halves rounds otherwise than a whole one, and bf16 would magnify that
    # beyond the tolerance.
    changes = {
        "download": {"source": str(source)},
        "train": {"world_size": world_size, "precision": "fp32"},
    }
    create_workspace(ROOT, root, deep_merge(SMALL, changes), DVC_CONFIG)
    fetch = [sys.executable, "-m", "pipeline.stages", "fetch"]
    for stage in (fetch, *([*command, "train", run] for run in RUNS)):
        done = subprocess.run(
            stage, cwd=root, env=clean_environment(), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return Paths(root)


@pytest.mark.parametrize("launcher", ["python", "torchrun"])
def test_two_processes_train_as_one(launcher: str, tmp_path: Path, mnist_root: Path) -> None:
    stage = [sys.executable, "-m", "pipeline.stages"]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    torchrun += ["--nproc-per-node", "2", "-m", "pipeline.stages"]
    one = trained_by(1, tmp_path / "one", mnist_root, stage)
    two = trained_by(2, tmp_path / "two", mnist_root, stage if launcher == "python" else torchrun)
    for run in RUNS:
        histories = [pd.read_csv(paths.model(run) / "history.csv") for paths in (one, two)]
        np.testing.assert_allclose(histories[1], histories[0], rtol=2e-4, atol=1e-5)
        states = [VAE.from_pretrained(paths.model(run)).state_dict() for paths in (one, two)]
        for name, tensor in states[0].items():
            np.testing.assert_allclose(states[1][name], tensor, atol=2e-4, err_msg=name)
    mlflow = client.get_client(two)
    runs = client.search_training_runs(mlflow, "vae-cifar10")
    assert len(runs) == len(RUNS), "only the first process logs"
    assert all(client.logged_epochs(mlflow, run.info.run_id) == {1, 2} for run in runs)
