"""Trained with code that git was never told of, restored from MLflow: the README's own commands."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import IDENTITY, clean_environment, git_study
from git_projects import LATIN, git

pytestmark = pytest.mark.slow
NAME = "pca_refined-2-0"
IMPORT = "\nfrom pipeline.models.never_added import FACTOR as FACTOR\n"


def run(root: Path, *command: str, fails: bool = False) -> str:
    environment = clean_environment() | IDENTITY
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, said
    return said


def ours(root: Path, *words: str, fails: bool = False) -> str:
    return run(root, sys.executable, "-m", "pipeline", *words, fails=fails)


@pytest.fixture
def trained(tmp_path: Path, mnist_root: Path) -> Path:
    """A study with one run, trained with an untracked module and a changed file in Latin-1."""
    root = tmp_path / "study"
    changes = {
        "grid": {"variants": ["pca_refined"]},
        "download": {"source": str(mnist_root)},
        "train": {"epochs": 1},
    }
    git_study(root, changes)
    (root / "notes.py").write_bytes(LATIN)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "A small study")
    layers = root / "pipeline" / "models" / "layers.py"
    layers.write_text(layers.read_text() + IMPORT)
    (root / "pipeline" / "models" / "never_added.py").write_text("FACTOR = 1\n")
    (root / "notes.py").write_bytes(LATIN * 2)
    run(root, sys.executable, "-m", "dvc", "repro", f"train@{NAME}")
    return root


def forget(root: Path) -> None:
    """Drop the uncommitted code, as someone does who starts on the next idea."""
    git(root, "checkout", "-q", "--", ".")
    (root / "pipeline" / "models" / "never_added.py").unlink()
    assert git(root, "status", "--porcelain", "--", "pipeline", "notes.py") == ""


def test_uncommitted_code_comes_back_with_the_run(trained: Path) -> None:
    ours(trained, "sync")
    forget(trained)
    said = ours(trained, "restore", NAME)
    assert "uncommitted changes of code are applied" in said
    assert "missing" not in said
    assert (trained / "notes.py").read_bytes() == LATIN * 2
    imported = run(
        trained, sys.executable, "-c", "import pipeline.models.layers as m; print(m.FACTOR)"
    )
    assert imported == "1\n"
    assert f"train@{NAME}" not in run(trained, sys.executable, "-m", "dvc", "status")


def test_a_deleted_store_is_rebuilt_with_the_code_of_the_training(trained: Path) -> None:
    """The store is lost, and today's code is another: the run still has its own."""
    (trained / "mlflow.db").unlink()
    forget(trained)
    (trained / "today.py").write_text("")
    ours(trained, "sync")
    said = ours(trained, "restore", NAME)
    assert "uncommitted changes of code are applied" in said
    assert (trained / "pipeline" / "models" / "never_added.py").exists()
