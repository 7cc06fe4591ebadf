"""Each run's decoder as an MLflow model that needs none of this code, and the best of them."""

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.config.grid import Config
from pipeline.config.names import model_name
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord, load_measured
from pipeline.report.metrics import greater_is_better
from pipeline.tracking.model_card import NOTE, input_size, model_card
from pipeline.tracking.store import store_uri

if TYPE_CHECKING:
    import torch
    from mlflow import MlflowClient

MODEL_NAME = "decoder"
CHAMPION = "champion"
PREVIOUS = "previous"
GENERATOR = "generator"
# Of the samples of a run's best prior, which is chosen on validation images.
DISTANCE = "fd_samples"


class Best(NamedTuple):
    """A run that is best by a metric, and its value."""

    name: str
    metric: str
    value: float


def log_model(client: "MlflowClient", run_id: str, record: RunRecord) -> int:
    """Log z [B, latent_dim] -> pixels [B, C, H, W] in [0, 1] as a pt2 program, and its page.

    Of a flow [B, latent_dim + C H W]: a code is followed by the standard normal noise that becomes
    the image. Returns how much was added: nothing if the run has both.
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
    z = np.zeros((2, input_size(record)), np.float32)
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
        # A process that was killed while it logged one left it pending. Files may be gone, too.
        if model.status == LoggedModelStatus.READY and _has_files(client, model.model_id):
            usable[model.creation_timestamp] = model.model_id
    return usable[max(usable)] if usable else None


def _has_files(client: "MlflowClient", model_id: str) -> bool:
    return any(item.path == "MLmodel" for item in client.list_logged_model_artifacts(model_id))


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

    from pipeline.models.flow import FlowDecoder
    from pipeline.models.vae import VAE

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = VAE.from_pretrained(record.paths.model(record.run.name))

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            if not isinstance(self.model.decoder, FlowDecoder):
                return self.model.to_images(z, None)
            z, noise = z.tensor_split([self.model.latent_dim], 1)
            return self.model.to_images(z, noise.unflatten(1, self.model.image_shape))

    return Decoder().eval()


def promote_champion(
    client: "MlflowClient", config: Config, paths: Paths, run_ids: dict[str, str]
) -> str | None:
    """Give the best runs that did not collapse their aliases; return the champion's name.

    `champion` is the best by tracking.champion_metric, and the former one becomes `previous`;
    `generator` is the one whose best prior draws the samples nearest to the test images. `run_ids`
    has the MLflow run of each listed run by name. None if no run qualifies.
    """
    metric, registered = config.tracking.champion_metric, model_name(config.tracking.experiment)
    best = {
        CHAMPION: find_best(metric, max if greater_is_better(metric) else min, paths, run_ids),
        GENERATOR: find_best(DISTANCE, min, paths, run_ids),
    }
    for alias, found in best.items():
        if found is not None:
            _promote(client, registered, alias, found, run_ids[found.name])
    champion = best[CHAMPION]
    return champion.name if champion else None


def find_best(
    metric: str, choose: Callable[..., str], paths: Paths, names: Iterable[str]
) -> Best | None:
    """Find the run whose value of a metric `choose` chooses, of those that did not collapse."""
    values = {}
    for name in names:
        metrics = load_measured(name, paths)
        if metric in metrics and not metrics["is_collapsed"]:
            values[name] = metrics[metric]
    if not values:
        return None
    name = choose(values, key=lambda name: values[name])
    return Best(name, metric, values[name])


def _promote(client: "MlflowClient", registered: str, alias: str, best: Best, run_id: str) -> None:
    """Give the run's version the alias, and keep who was champion before."""
    # Who has it now?
    if not client.search_registered_models(f"name = '{registered}'"):
        client.create_registered_model(registered)
    aliases = client.get_registered_model(registered).aliases
    current = None
    if alias in aliases:
        current = client.get_model_version(registered, aliases[alias])
    version = _find_or_register(client, registered, run_id)
    if current and current.version == version.version:
        return

    # Promote.
    if alias == CHAMPION and current and current.run_id != run_id:
        client.set_registered_model_alias(registered, PREVIOUS, current.version)
    client.set_registered_model_alias(registered, alias, version.version)
    client.set_model_version_tag(registered, version.version, best.metric, str(best.value))


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
