"""Names of experiments: what MLflow and Databricks take, and one line for the others."""

import pytest
from pydantic import ValidationError

from pipeline.config.names import model_name
from pipeline.config.schema import TrackingConfig


@pytest.mark.parametrize(
    ("experiment", "model"),
    [
        ("vae-cifar10", "vae-cifar10"),
        ("Ann's VAEs", "Ann-s VAEs"),
        ("vae: first try", "vae-first try"),
        ("/Users/me@a.org/vae", "Users-me-a.org-vae"),
        ("дослід 1", "дослід 1"),
        ("../vae", "vae"),
        ("a/../b", "a-..-b"),
    ],
)
def test_a_name_and_its_registered_model(experiment: str, model: str) -> None:
    TrackingConfig(experiment=experiment, champion_metric="psnr_db")
    assert model_name(experiment) == model


def test_mlflows_own_experiment_is_refused() -> None:
    with pytest.raises(ValidationError, match="Default is MLflow's own"):
        TrackingConfig(experiment="Default", champion_metric="psnr_db")


@pytest.mark.parametrize("experiment", ["", " ", " vae", "vae\n", "a\tb", "/", "':'", "v" * 251])
def test_what_no_store_can_name_is_refused(experiment: str) -> None:
    with pytest.raises(ValidationError, match="a name has"):
        TrackingConfig(experiment=experiment, champion_metric="psnr_db")
