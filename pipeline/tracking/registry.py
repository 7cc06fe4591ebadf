"""Each run's decoder as an MLflow model that needs none of this code, and the study's champion."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.grid import Config
from pipeline.config.names import model_name
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.report.metrics import greater_is_better
from pipeline.storage.reading import read_json
from pipeline.tracking.model_card import NOTE, model_card
from pipeline.tracking.store import store_uri

if TYPE_CHECKING:
    import torch
    from mlflow import MlflowClient

MODEL_NAME = "decoder"
CHAMPION = "champion"
PREVIOUS = "previous"


def log_model(client: "MlflowClient", run_id: str, record: RunRecord) -> int:
    """Log z [B, latent_dim] -> pixels [B, C, H, W] in [0, 1] as a pt2 program, and its page.

    Returns how much was added: nothing if the run has both.
    """
    model_id = usable_model(client, run_id)
    added = 0
    if model_id is None:
        model_id = _export(client, run_id, record)
        added += 1
    # What a person has made of the page stays.
    if NOTE not in client.get_logged_model(model_id).tags:
        page = model_card(f"models:/{model_id}", record)
        client.set_logged_model_tags(model_id, {NOTE: page})
        added += 1
    return added


def _export(client: "MlflowClient", run_id: str, record: RunRecord) -> str:
    """Log the decoder and return the model's id."""
    import mlflow.pytorch
    import torch
    from mlflow.models import Model, infer_signature

    decoder = _make_decoder(record)
    # Two codes: PyTorch takes a batch of one for a constant.
    z = np.zeros((2, record.run.latent_dim), np.float32)
    uri = store_uri(record.paths)
    with (
        active_experiment(uri, client.get_run(run_id).info.experiment_id),
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        # Of torch.export about its own internals.
        warnings.simplefilter("ignore")
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        pixels = decoder(torch.from_numpy(z)).numpy()
        logged = Model.log(
            None,
            mlflow.pytorch,
            name=MODEL_NAME,
            run_id=run_id,
            pytorch_model=decoder,
            input_example=z,
            signature=infer_signature(z, pixels),
            serialization_format="pt2",
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        )
    return str(logged.model_id)


def usable_model(client: "MlflowClient", run_id: str) -> str | None:
    """Return the id of the run's newest logged model that is whole and was not deleted."""
    from mlflow.entities import LoggedModelStatus
    from mlflow.exceptions import MlflowException

    outputs = client.get_run(run_id).outputs
    usable: dict[int, str] = {}
    for output in outputs.model_outputs if outputs else []:
        try:
            model = client.get_logged_model(output.model_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue
        # A process that was killed while it logged one left it pending.
        if model.status == LoggedModelStatus.READY:
            usable[model.creation_timestamp] = model.model_id
    return usable[max(usable)] if usable else None


@contextmanager
def active_experiment(uri: str, experiment_id: str) -> Iterator[None]:
    """Make MLflow file a model under an experiment; leave the environment as it was."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment_id=experiment_id)
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _make_decoder(record: RunRecord) -> "torch.nn.Module":
    import torch

    from pipeline.models.vae import VAE

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = VAE.from_pretrained(record.paths.model(record.run.name))

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.model.to_pixels(self.model.decode(z))

    return Decoder().eval()


def promote_champion(
    client: "MlflowClient", config: Config, paths: Paths, run_ids: dict[str, str]
) -> str | None:
    """Give the best run that did not collapse the alias `champion`, the former one `previous`.

    `run_ids` has the MLflow run of each listed run by name. Returns the champion's name, None if
    no run qualifies.
    """
    metric, registered = config.tracking.champion_metric, model_name(config.tracking.experiment)
    best = find_best(metric, paths, list(run_ids))
    if best is None:
        return None
    name, value = best

    # Who is champion now?
    if not client.search_registered_models(f"name = '{registered}'"):
        client.create_registered_model(registered)
    aliases = client.get_registered_model(registered).aliases
    current = None
    if CHAMPION in aliases:
        current = client.get_model_version(registered, aliases[CHAMPION])
    version = _find_or_register(client, registered, run_ids[name])
    if current and current.version == version.version:
        return name

    # Promote.
    if current and current.run_id != run_ids[name]:
        client.set_registered_model_alias(registered, PREVIOUS, current.version)
    client.set_registered_model_alias(registered, CHAMPION, version.version)
    client.set_model_version_tag(registered, version.version, metric, str(value))
    return name


def find_best(metric: str, paths: Paths, names: list[str]) -> tuple[str, float] | None:
    """Find the run with the best value of a metric, and the value; None if no run qualifies."""
    choose = max if greater_is_better(metric) else min
    values = {}
    for name in names:
        if paths.metrics(name).exists():
            metrics = read_json(paths.metrics(name))
            if metric in metrics and not metrics["is_collapsed"]:
                values[name] = metrics[metric]
    if not values:
        return None
    best = choose(values, key=lambda name: values[name])
    return best, values[best]


def _find_or_register(client: "MlflowClient", registered: str, run_id: str) -> Any:
    """Return the version of the run's logged model, made if it was deleted or never there."""
    source = f"models:/{usable_model(client, run_id)}"
    for version in client.search_model_versions(f"name = '{registered}'"):
        if version.run_id == run_id and version.source == source:
            return version
    model_id = source.removeprefix("models:/")
    page = client.get_logged_model(model_id).tags.get(NOTE)
    return client.create_model_version(
        registered, source, run_id, model_id=model_id, description=page
    )
