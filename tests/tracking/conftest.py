"""A finished study without its MLflow store."""

import shutil
from pathlib import Path

import pytest

from pipeline.params import Params
from pipeline.paths import Paths

Study = tuple[Params, Paths]


@pytest.fixture
def study(trained: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A copy of the finished study's workspace without its MLflow store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    params, paths = trained
    for folder in ("models", "reports", ".runs"):
        shutil.copytree(paths.root / folder, tmp_path / folder)
    return params, Paths(tmp_path)
