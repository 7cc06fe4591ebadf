"""What an MLflow id or an alias of the registry means: the workspace's files, or MLflow's own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.models.layers import init_weights
from pipeline.models.vae import VAE
from pipeline.tracking.client import get_client, search_training_runs
from pipeline.tracking.lookup import find_by_id
from pipeline.tracking.sync import sync
from pipeline.workflow.find_model import TrainedModel, find_model

RUN = "pca_refined-2-0"


@pytest.fixture(scope="module")
def tracked(
    trained: tuple[Config, Paths], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Paths, dict[str, str]]:
    """A study in MLflow, and the ids of its runs by name; the best of all is `pca_refined`."""
    params, before = trained
    paths = Paths(tmp_path_factory.mktemp("tracked"))
    shutil.copy(before.params, paths.params)
    for folder in ("models", "reports", ".checkpoints"):
        shutil.copytree(before.root / folder, paths.root / folder)
    for name, best in ((RUN, True), ("original-2-0", False)):
        metrics = json.loads(paths.metrics(name).read_text())
        changes = {"is_collapsed": int(not best), "best_prior": "gmm"}
        paths.metrics(name).write_text(json.dumps(metrics | changes))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DVC_ROOT", raising=False)
        sync(params, paths)
        runs = search_training_runs(get_client(paths), "vae-cifar10")
    return paths, {run.info.run_name: run.info.run_id for run in runs}


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def draws(model: TrainedModel) -> np.ndarray:
    return model.vae.sample(3, torch.Generator().manual_seed(0)).numpy()


@pytest.mark.parametrize("query", ["champion", "generator", "id", "beginning"])
def test_every_way_to_say_it_finds_the_workspaces_run(
    tracked: tuple[Paths, dict[str, str]], query: str
) -> None:
    paths, ids = tracked
    said = {"id": ids[RUN], "beginning": ids[RUN][:12]}.get(query, query)
    found, expected = find_model(said, paths), find_model(RUN, paths)
    assert found[1:] == expected[1:]
    priors = paths.samples(RUN) / "priors.safetensors"
    assert found[1:4] == (RUN, str(paths.model(RUN)), priors)
    assert found.metrics["best_prior"] == "gmm"
    assert np.array_equal(draws(found), draws(expected))


def test_a_run_that_the_workspace_has_no_more_comes_from_mlflow(
    tracked: tuple[Paths, dict[str, str]], tmp_path: Path
) -> None:
    before, ids = tracked
    expected = draws(find_model(RUN, before))
    paths = Paths(tmp_path / "clone")
    shutil.copytree(before.root, paths.root)
    # Another training of the same name lies there now; its priors are not this run's.
    other = VAE.from_pretrained(paths.model(RUN))
    init_weights(other, torch.Generator().manual_seed(1))
    other.save_pretrained(paths.model(RUN), {"fingerprint": "another"})
    found = find_model(ids[RUN], paths)
    assert np.array_equal(draws(found), expected)
    assert (found.place, found.priors) == (f"MLflow run {ids[RUN]}", None)
    assert not np.array_equal(draws(find_model(RUN, paths)), expected)


def test_what_mlflow_does_not_know_is_one_line(tracked: tuple[Paths, dict[str, str]]) -> None:
    paths, ids = tracked
    with pytest.raises(UserError, match="no run whose id begins with ffff0000"):
        find_by_id("ffff0000", paths)
    with pytest.raises(UserError, match=f"2 MLflow runs begin with .*{ids[RUN]}"):
        find_by_id("", paths)
    get_client(paths).delete_registered_model_alias("vae-cifar10", "generator")
    with pytest.raises(UserError, match="MLflow has no generator: `python -m pipeline sync`"):
        find_model("generator", paths)
