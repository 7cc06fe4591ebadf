"""Each run's decoder as an MLflow model that needs none of this code, and the study's best one as its champion."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config.schema import Config
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json
from pipeline.config.run_record import RunRecord
from pipeline.tracking.client import store_uri

if TYPE_CHECKING:
    import torch
    from mlflow import MlflowClient

MODEL_NAME = "decoder"


def log_model(client: "MlflowClient", run_id: str, record: RunRecord) -> int:
    """Log z [B, latent_dim] -> pixel means [B, C, H, W] in [0, 1] as a pt2 program, if the run has none; how many."""
    run = client.get_run(run_id)
    if run.outputs and run.outputs.model_outputs:
        return 0
    import mlflow.pytorch
    import torch
    from mlflow.models import Model, infer_signature

    decoder = _decoder(record)
    # Two codes: PyTorch takes a batch of one for a constant.
    z = np.zeros((2, record.run.latent_dim), np.float32)
    with active_experiment(store_uri(record.paths), run.info.experiment_id), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.export about its own internals
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        Model.log(
            None, mlflow.pytorch, name=MODEL_NAME, run_id=run_id, pytorch_model=decoder, input_example=z,
            signature=infer_signature(z, decoder(torch.from_numpy(z)).numpy()), serialization_format="pt2",
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        )  # fmt: skip  # what is logged, then how
    return 1


@contextmanager
def active_experiment(uri: str, experiment_id: str) -> Iterator[None]:
    """MLflow files a model under the process's active experiment; setting that leaves the environment changed."""
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


def _decoder(record: RunRecord) -> "torch.nn.Module":
    import torch

    from pipeline.training.checkpoint import load_model

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, _ = load_model(record.paths.model(record.run.name))

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.model.to_pixels(self.model.decode(z))

    return Decoder().eval()


def promote_champion(client: "MlflowClient", params: Config, paths: Paths, run_ids: dict[str, str]) -> str | None:
    """Make the best run that did not collapse the registered model's `champion`, and the former one `previous`.

    `run_ids` has the MLflow run of each listed run by name. Returns the champion's name, None if no run qualifies.
    """
    measured = {name: read_json(paths.metrics(name)) for name in run_ids if paths.metrics(name).exists()}
    key, sign = params.tracking.champion_metric, -1 if params.tracking.champion_is_least else 1
    scores = {name: sign * m[key] for name, m in measured.items() if key in m and not m["collapsed"]}
    if not scores:
        return None
    best = max(scores, key=lambda name: scores[name])
    registered = params.tracking.experiment
    if not client.search_registered_models(f"name = '{registered}'"):
        client.create_registered_model(registered)
    versions = {version.run_id: version for version in client.search_model_versions(f"name = '{registered}'")}
    aliases = client.get_registered_model(registered).aliases
    reigning = client.get_model_version(registered, aliases["champion"]) if "champion" in aliases else None
    if reigning and reigning.run_id == run_ids[best]:
        return best
    version = versions.get(run_ids[best]) or _register(client, registered, run_ids[best])
    if reigning:
        client.set_registered_model_alias(registered, "previous", reigning.version)
    client.set_registered_model_alias(registered, "champion", version.version)
    client.set_model_version_tag(registered, version.version, key, str(measured[best][key]))
    return best


def _register(client: "MlflowClient", registered: str, run_id: str):  # type: ignore[no-untyped-def]  # ModelVersion, lazily
    model_id = client.get_run(run_id).outputs.model_outputs[0].model_id  # type: ignore[union-attr]  # log_model made it
    return client.create_model_version(registered, f"models:/{model_id}", run_id, model_id=model_id)
