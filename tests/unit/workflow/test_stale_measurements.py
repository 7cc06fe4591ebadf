"""What was measured of another training is never taken for this one's."""

import pytest
import torch

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.models.vae import VAE
from pipeline.report.results import collect_results
from pipeline.stages import evaluate
from pipeline.storage.reading import read_json
from pipeline.tracking.client import get_client, search_training_runs
from pipeline.tracking.sync import find_drift, sync
from pipeline.workflow.find_model import find_model
from pipeline.workflow.generate import best_prior
from pipeline.workflow.publish import publish

Study = tuple[Config, Paths]
NAME = "pca_refined-2-0"
OTHER = "e" * 32


@pytest.fixture
def retrained(study: Study) -> Study:
    """A run that was trained anew after it had been measured, as where its evaluation failed."""
    paths = study[1]
    described = read_json(paths.model(NAME) / "model.json")
    model = VAE.from_pretrained(paths.model(NAME))
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    metadata = {key: described[key] for key in ("dataset_sha256", "run")}
    model.save_pretrained(paths.model(NAME), metadata | {"fingerprint": OTHER})
    return study


def test_no_metric_picture_or_alias_goes_to_the_new_training(retrained: Study) -> None:
    params, paths = retrained
    champion = sync(params, paths).champion
    client = get_client(paths)
    runs = search_training_runs(client, params.tracking.experiment)
    (run,) = [run for run in runs if run.data.tags["fingerprint"] == OTHER]
    assert run.data.metrics["train_loss"]
    assert "psnr_db" not in run.data.metrics
    assert "collapse_label" not in run.data.tags
    pictures = {item.path for item in client.list_artifacts(run.info.run_id, "pictures")}
    assert pictures == {"pictures/loss_curves.png"}
    assert champion != NAME
    drift = find_drift(params, paths)
    assert f"{NAME} is trained, and its model was not measured" in drift


def test_generate_has_neither_priors_nor_a_verdict_of_another_training(retrained: Study) -> None:
    trained = find_model(NAME, retrained[1])
    assert trained.priors is None
    assert trained.metrics == {}
    assert best_prior(trained) == "normal"


def test_what_would_say_something_of_it_is_refused(retrained: Study) -> None:
    params, paths = retrained
    with pytest.raises(UserError, match=f"`dvc repro evaluate@{NAME}` measures it"):
        publish(NAME, paths)
    with pytest.raises(UserError, match=f"`dvc repro evaluate@{NAME}` measures it"):
        collect_results(params, paths, {})
    with pytest.raises(UserError, match=f"`dvc repro sample@{NAME}` draws from it"):
        evaluate.main(params.run(NAME), params, paths)
