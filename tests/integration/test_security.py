"""No pickle is loaded: a malicious one in place of any file is refused or left alone."""

import contextlib
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Bomb

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.stages import baselines, evaluate, report, sample
from pipeline.tracking.sync import sync
from pipeline.training import checkpoint
from pipeline.training.state import build_train_state


def quietly(stage: Callable[[], object]) -> None:
    """Refusing is right, and so is not reading the file at all."""
    with contextlib.suppress(UserError):
        stage()


PARTS = (
    "data",
    "models",
    "reports/samples",
    "reports/metrics",
    "reports/latent_stats",
    "reports/nearest_neighbors",
    "reports/rivals",
    ".checkpoints",
)


def files_of(paths: Paths) -> list[Path]:
    found = [path for part in PARTS for path in (paths.root / part).rglob("*") if path.is_file()]
    return [path.relative_to(paths.root) for path in sorted(found)]


@pytest.mark.slow
@pytest.mark.long
def test_a_pickle_in_place_of_each_file_is_not_executed(
    trained: tuple[Config, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(trained[1])
    assert len(files) > 20
    plant_in(files, trained, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_pickle_in_place_of_a_file_of_each_kind_is_not_executed(
    trained: tuple[Config, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = trained[0].runs[1].name
    files = [file for file in files_of(trained[1]) if second not in str(file)]
    kinds = {(file.parts[0], file.suffix): file for file in files}
    assert len(kinds) > 7
    plant_in([*kinds.values()], trained, tmp_path, monkeypatch)


def plant_in(
    files: list[Path],
    trained: tuple[Config, Paths],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Put the bomb in place of one file after the other, and run what reads it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    params, original = trained
    # Twenty reports: one language each.
    one = params.report.model_copy(update={"languages": ["en"]})
    params = params.model_copy(update={"report": one})
    paths, mark = Paths(tmp_path / "work"), tmp_path / "executed"
    bomb = pickle.dumps(Bomb(mark))
    run = params.runs[0]
    for part in ("data", "models", "reports", ".checkpoints"):
        shutil.copytree(original.root / part, paths.root / part)
    for file in files:
        target = paths.root / file
        whole = target.read_bytes()
        target.write_bytes(bomb)
        if file.parts[0] == "data":
            quietly(lambda: baselines.main(params, paths))
        elif (
            "samples" not in file.parts
            and "latent_stats" not in file.parts
            and run.name in str(file)
        ):
            quietly(lambda: sample.main(run, params, paths))
            quietly(lambda: evaluate.main(run, params, paths))
        quietly(lambda: report.main(params, paths))
        quietly(lambda: sync(params, paths))
        target.write_bytes(whole)
        assert not mark.exists(), file
    pickle.loads(bomb)
    assert mark.exists(), "the bomb itself must work"


def test_a_pickle_in_place_of_params_or_a_checkpoint_is_not_executed(
    trained: tuple[Config, Paths], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    mark = tmp_path / "executed"
    (tmp_path / "params.yaml").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(UserError):
        load_config(tmp_path / "params.yaml")
    (tmp_path / "epoch-00001.safetensors").write_bytes(pickle.dumps(Bomb(mark)))
    state = build_train_state(trained[0].runs[0], [1, 32, 32], 5, torch.device("cpu"))
    assert not checkpoint.load_latest_checkpoint(tmp_path, "abc", state)
    assert "ignored" in caplog.text
    assert not mark.exists()


def test_the_package_names_no_way_to_load_a_pickle() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "pipeline").rglob("*.py"))
    loaders = r"\b(torch\.load\((?!.*weights_only=True)|pickle\.|eval\(|exec\(|yaml\.load)"
    forbidden = f"{loaders}|allow_pickle=True|shell=True"
    assert re.findall(forbidden, source.replace(".eval()", "")) == []
