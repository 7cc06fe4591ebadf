"""What a stage was given must be what dvc.lock says of it afterwards."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import DVC_CONFIG, ROOT, SMALL, clean_environment

from pipeline import UserError
from pipeline.config.grid import deep_merge
from pipeline.config.paths import Paths
from pipeline.storage import dvc_lock
from pipeline.storage.yaml_io import dump_yaml, read_yaml
from pipeline.workflow.inputs import read_inputs, require_unchanged
from pipeline.workflow.workspace import create_workspace

RUN = "original-2-0"
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A folder with the files that a stage's inputs are in, the code its own."""
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("models", "report", "stages"):
        (tmp_path / "pipeline" / name).mkdir(parents=True)
        (tmp_path / "pipeline" / name / "vae.py").write_text("a = 1\n")
    return Paths(tmp_path)


def change(paths: Paths, changes: dict) -> None:
    document = deep_merge(read_yaml(paths.params), changes)
    paths.params.write_text(dump_yaml(document))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_them(stage: str) -> None:
    cell = (RUN,) if "matrix" in STAGES[stage] else ()
    found = read_inputs(stage, cell, Paths(ROOT))
    assert len(found) == len(STAGES[stage]["params"]) + sum(
        dep.startswith("pipeline/") for dep in STAGES[stage]["deps"]
    )
    assert None not in [value for name, value in found.items() if name.startswith("pipeline/")]


def test_what_the_stage_does_not_read_may_change(paths: Paths) -> None:
    before = read_inputs("train", (RUN,), paths)
    change(paths, {"report": {"num_images": 3}, "grid": {"latent_dims": [2]}})
    change(paths, {"variants": {"pca_refined": {"train": {"epochs": 3}}}})
    (paths.root / "pipeline" / "report" / "vae.py").write_text("a = 2\n")
    require_unchanged(before, read_inputs("train", (RUN,), paths), "train")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"learning_rate": 0.5}}, "params.yaml: train changed"),
        ({"variants": {"original": {"train": {"epochs": 3}}}}, "variants.original changed"),
    ],
)
def test_another_parameter_is_named(paths: Paths, changes: dict, said: str) -> None:
    before = read_inputs("train", (RUN,), paths)
    change(paths, changes)
    with pytest.raises(UserError, match=said):
        require_unchanged(before, read_inputs("train", (RUN,), paths), f"train@{RUN}")


def test_other_code_is_named(paths: Paths) -> None:
    before = read_inputs("train", (RUN,), paths)
    (paths.root / "pipeline" / "models" / "vae.py").write_text("a = 2\n")
    with pytest.raises(UserError, match=r"pipeline/models changed while train@original-2-0 ran"):
        require_unchanged(before, read_inputs("train", (RUN,), paths), f"train@{RUN}")


def test_without_dvc_yaml_nothing_is_written_of_them(tmp_path: Path) -> None:
    assert read_inputs("train", (RUN,), Paths(tmp_path)) == {}


@pytest.mark.slow
def test_params_edited_during_a_training_are_not_said_to_be_its_own(
    tmp_path: Path, mnist_root: Path
) -> None:
    epochs = {"variants": {"original": {"train": {"epochs": 40}}}}
    own = {"download": {"source": str(mnist_root)}}
    create_workspace(ROOT, tmp_path, deep_merge(deep_merge(SMALL, own), epochs), DVC_CONFIG)
    paths = Paths(tmp_path)
    as_trained = paths.params.read_text()
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", f"train@{RUN}"]

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    training = started()
    checkpoints = tmp_path / ".checkpoints"
    end = time.monotonic() + 300
    while not list(checkpoints.glob("*/*.safetensors")):
        assert time.monotonic() < end, "no epoch was seen"
        time.sleep(0.05)
    change(paths, {"train": {"batch_size": 16}})
    said, _ = training.communicate(timeout=300)
    assert training.returncode != 0
    assert f"changed while {RUN} was trained" in said
    assert "Traceback" not in said
    assert f"train@{RUN}" not in dvc_lock.entries(paths.dvc_lock), "nothing false is on record"
    paths.params.write_text(as_trained)
    again = started()
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert f"{RUN}: resumed after epoch 40" in said, "what was trained is not trained again"
    assert f"train@{RUN}" in dvc_lock.entries(paths.dvc_lock)
