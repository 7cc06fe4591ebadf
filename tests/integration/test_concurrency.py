"""Several commands at once in one repository: each finishes or refuses, nothing is corrupted."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import IDENTITY, clean_environment, git_study, outputs

from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.tracking.client import get_client, search_training_runs

pytestmark = [pytest.mark.slow, pytest.mark.long]
TRAINING = "train@pca_refined-2-0"


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory, mnist_root: Path) -> Path:
    """A committed small study that has run once, with the code in it as in any clone."""
    root = tmp_path_factory.mktemp("committed")
    changes = {
        "grid": {"variants": ["pca_refined"]},
        "download": {"source": str(mnist_root)},
        "train": {"epochs": 15},
    }
    git_study(root, changes)
    for command in (
        ["dvc", "repro"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "A small study"],
    ):
        process = run(root, *command)
        # Read it: who writes more than a pipe holds waits for ever.
        said, _ = process.communicate()
        assert process.returncode == 0, said
    return root


@pytest.fixture
def clone(committed: Path, tmp_path: Path) -> Path:
    """A copy of it, without its MLflow store."""
    root = tmp_path / "clone"
    shutil.copytree(committed, root, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    return root


def run(root: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=root, env=clean_environment() | IDENTITY, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip  # how it runs, then what it sees


def statuses(root: Path) -> list[str]:
    experiment = load_config(root / "params.yaml").tracking.experiment
    found = search_training_runs(get_client(Paths(root)), experiment)
    return [run.info.status for run in found]


def test_two_repros_at_once_one_refuses_and_the_outputs_are_those_of_one(clone: Path) -> None:
    expected = outputs(clone)
    both = [run(clone, "dvc", "repro", "--force", "--single-item", TRAINING) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, said
    for code, text in zip(codes, said, strict=True):
        # Stages of one name exclude each other by DVC's lock; where the first was done, the second
        # just follows.
        assert code == 0 or "lock" in text, text
        assert "Traceback" not in text
    assert outputs(clone) == expected


def test_an_experiment_in_a_temporary_copy_beside_a_repro(clone: Path) -> None:
    """Both train, each its own run; the workspace shows what params.yaml says, the store both."""
    expected = outputs(clone)
    experiment = run(
        clone, "dvc", "exp", "run", "--temp", "-S", "train.learning_rate=0.002", "--name", "faster"
    )
    repro = run(clone, "dvc", "repro", "--force", "--single-item", TRAINING)
    said = [process.communicate(timeout=300)[0] for process in (experiment, repro)]
    if repro.returncode:  # DVC holds the repository while it copies the workspace
        assert "lock" in said[1], said[1]
        assert run(clone, "dvc", "repro", "--force", "--single-item", TRAINING).wait() == 0
    assert experiment.returncode == 0, said[0]
    assert outputs(clone) == expected
    assert statuses(clone) == ["FINISHED", "FINISHED"]
    assert "faster" in run(clone, "dvc", "exp", "list").communicate()[0]
    tags = [
        found.data.tags for found in search_training_runs(get_client(Paths(clone)), "vae-cifar10")
    ]
    assert sorted(found.get("dvc_exp_name", "") for found in tags) == ["", "faster"], (
        "the experiment's name is on its run"
    )


def test_a_queued_experiment_has_the_same_numbers_in_dvc_and_in_mlflow(clone: Path) -> None:
    queued = run(
        clone, "dvc", "exp", "run", "--queue", "-S", "train.learning_rate=0.002", "--name", "queued"
    )
    assert queued.wait() == 0
    text, _ = run(clone, "dvc", "exp", "run", "--run-all").communicate(timeout=300)
    (there,) = search_training_runs(get_client(Paths(clone)), "vae-cifar10")
    assert there.data.tags["dvc_exp_name"] == "queued", text
    said, _ = run(clone, "dvc", "metrics", "diff", "HEAD", "queued", "--json").communicate()
    changes = json.loads(said)["reports/metrics/pca_refined-2-0.json"]
    assert changes["psnr_db"]["new"] == there.data.metrics["psnr_db"] != changes["psnr_db"]["old"]
    assert {key: change["new"] for key, change in changes.items() if key in there.data.metrics} == {
        key: value for key, value in there.data.metrics.items() if key in changes
    }
    table, _ = run(clone, "dvc", "exp", "show", "--csv").communicate()
    (row,) = [row for row in csv.DictReader(table.splitlines()) if row["Experiment"] == "queued"]
    assert row["train.learning_rate"] == "0.002"
    shown, _ = run(clone, "dvc", "plots", "diff", "HEAD", "queued", "--json").communicate()
    assert json.loads(shown)["data"].keys() >= {"validation loss", "PSNR against KL"}


def test_sync_while_a_run_is_trained_leaves_it_alone(clone: Path) -> None:
    expected = outputs(clone)
    training = run(clone, "dvc", "repro", "--force", "--single-item", TRAINING)
    synced = [
        run(clone, sys.executable, "-m", "pipeline", "sync").communicate(timeout=120)
        for _ in range(3)
    ]
    assert training.wait(timeout=300) == 0
    assert not any("Traceback" in text or "closed" in text for text, _ in synced), synced
    assert outputs(clone) == expected
    assert statuses(clone) == ["FINISHED"]


def test_a_shallow_clone_and_a_downloaded_archive_run_the_study(
    clone: Path, tmp_path: Path
) -> None:
    expected = {
        name: digest
        for name, digest in outputs(clone).items()
        if name.startswith("models/pca_refined")
    }
    shallow, archive = tmp_path / "shallow", tmp_path / "archive"
    assert (
        run(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{clone}", str(shallow)).wait()
        == 0
    )
    shutil.copytree(shallow, archive, ignore=shutil.ignore_patterns(".git"))
    assert run(archive, "dvc", "config", "--local", "core.no_scm", "true").wait() == 0, (
        "what `make repro` does there"
    )
    for root in (shallow, archive):
        done = run(root, "dvc", "repro", TRAINING)
        text, _ = done.communicate(timeout=300)
        assert done.returncode == 0, text
        assert expected.items() <= outputs(root).items()
        assert statuses(root) == ["FINISHED"]
