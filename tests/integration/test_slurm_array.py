"""Tasks of an array that train in one checkout at once, and one `repro` that saves their work."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clean_environment, git_study

from pipeline.config.paths import Paths
from pipeline.tracking import client

pytestmark = [pytest.mark.slow, pytest.mark.long]
GRID = {"grid": {"latent_dims": [2, 3]}}
RUNS = ["original-2-0", "original-3-0", "pca_refined-2-0", "pca_refined-3-0"]


def start(root: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> str:
    text, _ = process.communicate(timeout=900)
    assert process.returncode == 0, text
    return text


def test_four_tasks_at_once_train_everything_and_repro_trains_nothing(
    tmp_path: Path, mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of docs/experiments.md, without Slurm."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    git_study(tmp_path, GRID | {"download": {"source": str(mnist_root)}})
    said(start(tmp_path, "dvc", "repro", "fetch"))
    tasks = [start(tmp_path, "pipeline", "train", "--index", str(index)) for index in range(4)]
    for run, task in zip(RUNS, tasks, strict=True):
        text = said(task)
        assert f"{run} epoch 2/2: loss" in text
        assert f"{run} is trained; `dvc repro` on such a machine saves it" in text

    text = said(start(tmp_path, "pipeline", "repro", "--jobs", "1"))
    assert not re.search(r"epoch \d+/", text), "trained once"
    paths = Paths(tmp_path)
    assert (tmp_path / "reports" / "report.md").exists()
    found = client.search_training_runs(client.get_client(paths), "vae-cifar10")
    assert sorted(run.info.run_name for run in found) == RUNS
    assert {run.info.status for run in found} == {"FINISHED"}

    # A task that is started again has nothing to do; one beyond the grid says so.
    again = said(start(tmp_path, "pipeline", "train", RUNS[0]))
    assert f"{RUNS[0]} is trained and saved in" in again
    model = json.loads((paths.model(RUNS[0]) / "model.json").read_text())
    assert not list(paths.checkpoint_dir(model["fingerprint"]).glob("epoch-*"))
    beyond = start(tmp_path, "pipeline", "train", "--index", "4")
    assert beyond.communicate()[0].strip() == (
        "error: params.yaml has 4 runs, none with index 4; allowed: 0 to 3"
    )
