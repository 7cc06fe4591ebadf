"""What several tests share: the shipped parameters, and small datasets in their real formats."""

import gzip
import hashlib
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tracked_runs import empty_database

from pipeline.config.grid import Config, deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.report.diagnosis import HEADING
from pipeline.report.i18n import Translator, available_languages
from pipeline.report.metrics import TABLES
from pipeline.stages import baselines, evaluate, fetch, report, rivals, sample, train
from pipeline.storage.yaml_io import dump_yaml, read_yaml
from pipeline.workflow.workspace import create_workspace

ROOT = Path(__file__).resolve().parent.parent
# Of the clock, not of the parameters: they alone differ between equal studies.
MEASURED_TIMES = ("train_seconds", "images_per_second")
# How many bad inputs each fuzzing test tries; `make test-stress` asks for many more.
CASES = int(os.environ.get("FUZZ_CASES", "60"))
# A DVC repository of its own, without git and without a word to anybody.
DVC_CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
# Who commits in the repositories that tests make.
IDENTITY = {
    f"GIT_{who}_{what}": f"{who}@example.org"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def clean_environment() -> dict[str, str]:
    """This process's environment without what points a child at another store or repository."""
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "DVC"))
    }


def outputs(root: Path) -> dict[str, str]:
    """SHA-256 of every file under data/, models/ and reports/, but for measured times.

    Leftovers with hidden names are files, too.
    """
    parts = ("data", "models", "reports")
    files = [path for part in parts for path in (root / part).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): hashlib.sha256(timeless(path)).hexdigest() for path in files
    }


def timeless(path: Path) -> bytes:
    """A file's content without training times and MLflow's ids, which the report alone tells."""
    if path.name == "summary.csv":
        return pd.read_csv(path).drop(columns=[*MEASURED_TIMES, "mlflow_run_id"]).to_csv().encode()
    if path.name.startswith("report") and path.suffix in (".md", ".html"):
        text = re.sub(r"MLflow (run )?[0-9a-f]{32}", "", path.read_text())
        for language in available_languages():
            say = Translator(language).translate
            start, end = say(TABLES["cost"]), say(HEADING)
            text = re.sub(f"{re.escape(start)}.*?{re.escape(end)}", "", text, flags=re.DOTALL)
        return text.encode()
    return path.read_bytes()


def git_study(root: Path, changes: dict, dvc_config: str = "") -> None:
    """A small study in a git repository with the code in it as in any clone, uncommitted."""
    with_git = DVC_CONFIG.replace("    no_scm = true\n", "") + dvc_config
    create_workspace(ROOT, root, deep_merge(SMALL, changes), with_git)
    (root / "pipeline").unlink()
    shutil.copytree(
        ROOT / "pipeline", root / "pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / ".gitignore", root)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.fixture
def params() -> Config:
    """The parameters that the project ships."""
    return load_config(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def small_images() -> np.ndarray:
    """300 smooth color images, uint8 [300, 3, 32, 32]: a few random blobs each, not noise."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (300, 3, 4, 4)).astype(np.float64)
    smooth = np.kron(coarse, np.ones((8, 8)))
    return (0.5 * smooth + 0.5 * np.roll(smooth, 4, axis=(2, 3))).astype(np.uint8)


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mnist")
    write_mnist(root)
    return root


def write_mnist(root: Path) -> None:
    """A folder as torchvision keeps MNIST: 600 + 200 coarse images in the official idx format."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(1)
    for name, count in (("train", 600), ("t10k", 200)):
        coarse = generator.integers(0, 256, (count, 7, 7)).astype(np.uint8)
        images = np.kron(coarse, np.ones((4, 4), np.uint8))
        labels = generator.integers(0, 10, count).astype(np.uint8)
        heads = struct.pack(">IIII", 0x803, count, 28, 28), struct.pack(">II", 0x801, count)
        files = {
            f"{name}-images-idx3-ubyte": heads[0] + images.tobytes(),
            f"{name}-labels-idx1-ubyte": heads[1] + labels.tobytes(),
        }
        for file, content in files.items():
            (raw / file).write_bytes(content)
            (raw / f"{file}.gz").write_bytes(gzip.compress(content))


SMALL = {
    "grid": {"latent_dims": [2]},
    "data": {"dataset": "mnist", "val_size": 50, "train_size": 300},
    "model": {"channels": [4, 8]},
    "train": {"epochs": 2},
    "variants": {"original": {"train": {"epochs": 2}}},
    "sample": {
        "num_grid_images": 12,
        "num_samples": 40,
        "num_fit_images": 300,
        "two_stage_epochs": 2,
    },
    "evaluate": {
        "num_images": 100,
        "num_feature_images": 40,
        "num_likelihood_images": 4,
        "num_importance_samples": 10,
        "num_probe_images": 100,
    },
    # One language: a page takes as long as anything here.
    "report": {"num_images": 4, "languages": ["en"]},
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, mnist_root: Path) -> tuple[Config, Paths]:
    """A finished study of two runs on small MNIST by the real stages; tests copy it."""
    root = tmp_path_factory.mktemp("trained")
    more = {"download": {"source": str(mnist_root)}, "report": {"languages": ["en", "uk"]}}
    document = deep_merge(read_yaml(ROOT / "params.yaml"), deep_merge(SMALL, more))
    params = Config.model_validate(document)
    (root / "params.yaml").write_text(dump_yaml(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DVC_ROOT", raising=False)
        shutil.copy(empty_database(), root)
        run_study(params, Paths(root))
    return params, Paths(root)


@pytest.fixture
def study(
    trained: tuple[Config, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Config, Paths]:
    """A copy of the finished study's workspace with an empty MLflow store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    params, paths = trained
    shutil.copy(empty_database(), tmp_path)
    shutil.copy(paths.params, tmp_path)
    for folder in ("models", "reports", ".checkpoints"):
        shutil.copytree(paths.root / folder, tmp_path / folder)
    return params, Paths(tmp_path)


TINY_FLOW = {
    "grid": {"variants": ["flow"], "latent_dims": [4]},
    "model": {"flow_blocks": 1},
    "variants": {"flow": {"model": {"flow_channels": 8}, "train": {"batch_size": 50}}},
}


@pytest.fixture(scope="session")
def trained_flow(
    tmp_path_factory: pytest.TempPathFactory, mnist_root: Path
) -> tuple[Config, Paths]:
    """A flow of 8 channels, trained on small MNIST and sampled by the real stages."""
    root = tmp_path_factory.mktemp("flow")
    changes = deep_merge(SMALL, TINY_FLOW)
    changes = deep_merge(changes, {"download": {"source": str(mnist_root)}})
    document = deep_merge(read_yaml(ROOT / "params.yaml"), changes)
    params, paths = Config.model_validate(document), Paths(root)
    paths.params.write_text(dump_yaml(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DVC_ROOT", raising=False)
        shutil.copy(empty_database(), root)
        fetch.main(params, paths)
        train.main(params.runs[0], params, paths)
        sample.main(params.runs[0], params, paths)
    return params, paths


def run_study(params: Config, paths: Paths) -> None:
    """Every stage in order, in this process."""
    fetch.main(params, paths)
    baselines.main(params, paths)
    for latent_dim in params.grid.latent_dims:
        rivals.main(latent_dim, params, paths)
    for run in params.runs:
        train.main(run, params, paths)
        sample.main(run, params, paths)
        evaluate.main(run, params, paths)
    report.main(params, paths)
