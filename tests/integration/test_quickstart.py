"""What was trained is used: `generate` where only PyTorch is, and the notebook where a demo was."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from conftest import ROOT, SMALL, clean_environment
from nbclient import NotebookClient
from PIL import Image

from pipeline.config.grid import Config, deep_merge
from pipeline.config.paths import Paths
from pipeline.data.dataset import Dataset, save_dataset
from pipeline.data.images import read_grid
from pipeline.stages import sample, train
from pipeline.storage.yaml_io import dump_yaml, read_yaml

NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
ABSENT = ("dvc", "mlflow", "distributed")


@pytest.fixture
def clone(trained_flow: tuple[Config, Paths], tmp_path: Path) -> Path:
    """A copy of the code and of a trained flow, without a git repository."""
    _, paths = trained_flow
    root = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", root / "pipeline", ignore=ignored)
    shutil.copy(paths.params, root)
    for folder in ("models", "reports"):
        shutil.copytree(paths.root / folder, root / folder)
    # Modules that are found first and say that there are none of their name.
    for name in ABSENT:
        module = tmp_path / "absent" / f"{name}.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n")
    return root


def ask(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `generate` in a clone where DVC, MLflow and git are not."""
    environment = clean_environment() | {
        "PATH": "",
        "PYTHONPATH": os.pathsep.join([str(root.parent / "absent"), str(root)]),
    }
    command = [sys.executable, "-m", "pipeline", "generate", *words]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_line_makes_images_where_only_pytorch_is(clone: Path) -> None:
    photos = [clone / "photo 1.png", clone / "photo-2.jpg"]
    for index, photo in enumerate(photos):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(photo)
    files = [photo.name for photo in photos]
    made = {
        "generated/flow-4-0-samples-normal-0.png": ["--count", "4"],
        "gmm.png": ["--count", "4", "--prior", "gmm", "--seed", "1", "--steps", "2"],
        "both.png": ["--reconstruct", *files],
        "path.png": [*files, "--interpolate", "--count", "5"],
    }
    shapes = {}
    for out, words in made.items():
        where = [] if "/" in out else ["--out", out]
        done = ask(clone, "flow-4-0", *words, *where)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith(f"{out}: ")
        shapes[out] = read_grid(clone / out).shape[:2]
    assert list(shapes.values()) == [(2, 2), (2, 2), (2, 2), (1, 5)]
    for words in (["nobody-2-0"], ["champion"], ["flow-4-0", "--out", "gmm.png"]):
        done = ask(clone, *words)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def two_runs(
    small_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, Paths]:
    """The two runs that the notebook shows, of the smallest size, on a few blobs in color."""
    root = tmp_path_factory.mktemp("runs")
    labels = np.zeros(300, np.uint8)
    images = small_images
    save_dataset(
        Dataset("cifar10", images[:260], labels[:260], images[260:], labels[260:], "-"),
        Paths(root).dataset("cifar10"),
    )
    changes: dict[str, Any] = {
        "grid": {"latent_dims": [64]},
        "data": {"dataset": "cifar10", "val_size": 20, "train_size": 240},
        "variants": {
            # Enough steps to collapse.
            "original": {"train": {"epochs": 15, "batch_size": 20, "learning_rate": 1e-2}},
            "pca_refined": {"model": {"refiner_channels": [4, 4]}},
        },
        "sample": {"num_fit_images": 240},
    }
    document = deep_merge(read_yaml(ROOT / "params.yaml"), deep_merge(SMALL, changes))
    config, paths = Config.model_validate(document), Paths(root)
    paths.params.write_text(dump_yaml(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DVC_ROOT", raising=False)
        for run in config.runs:
            train.main(run, config, paths)
            sample.main(run, config, paths)
    return config, paths


@pytest.mark.slow
@pytest.mark.parametrize("workspace", [".", ".demo"], ids=["repro", "demo"])
def test_the_notebook_runs_and_shows_the_collapse(
    two_runs: tuple[Config, Paths], tmp_path: Path, workspace: str
) -> None:
    _, paths = two_runs
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "notebooks").mkdir()
    for folder in ("models", "reports"):
        shutil.copytree(paths.root / folder, tmp_path / workspace / folder)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path / "notebooks"))
    outputs = {cell["id"]: cell["outputs"] for cell in notebook.cells if "outputs" in cell}
    for cell in ("reconstruct", "interpolate", "sample", "collapsed", "healthy"):
        (output,) = outputs[cell]
        assert "image/png" in output["data"]
    (output,) = outputs["shuffle"]
    change = ast.literal_eval(output["data"]["text/plain"])
    assert change["pca_refined"] > 20
    assert change["original"] < 2
