"""Links to MLflow's pages of a study: its trainings in a table, and the current ones compared."""

import logging
import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pipeline import first_line
from pipeline.config.grid import Config
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.run_record import load_run_record
from pipeline.tracking.client import by_fingerprint, search_training_runs
from pipeline.tracking.store import get_client, store_uri
from pipeline.tracking.sync import tag_current
from pipeline.tracking.views import CURRENT, TRAININGS, save_views

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOST = "127.0.0.1"
PORT = "5000"
logger = logging.getLogger(__name__)


class Links(NamedTuple):
    """Addresses of the trainings' table and of the comparison; None where nothing is current."""

    trainings: str
    comparison: str | None


def log_links(
    paths: Paths, address: str | None = None, client: "MlflowClient | None" = None
) -> None:
    """Say where MLflow shows the workspace's study.

    `address` is that of a UI that runs, `client` that of its store. A store that cannot be used
    costs the links and nothing else.
    """
    try:
        who = "MLflow" if address or server_address(paths) else "`make ui`"
        config = load_config(paths.params)
        links = study_links(
            client or get_client(paths), config, paths, address or ui_address(paths)
        )
    # The tracker's own errors are many; none of them is worth more than a line.
    except Exception as error:
        warn_no_links(error)
        return
    if links:
        name = config.tracking.experiment
        logger.info("%s shows every run of %s: %s", who, name, links.trainings)
    if links and links.comparison:
        logger.info("%s compares those that params.yaml lists: %s", who, links.comparison)


def warn_no_links(error: Exception) -> None:
    """Say why there is no link."""
    logger.warning("There is no link to MLflow's pages: %s", first_line(error)[:200])


def study_links(client: "MlflowClient", config: Config, paths: Paths, address: str) -> Links | None:
    """Return the links, once the store has what they show; None if it has no run of the study."""
    experiment = client.get_experiment_by_name(config.tracking.experiment)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        return None
    runs = search_training_runs(client, config.tracking.experiment)
    if not runs:
        return None
    current = current_run_ids(config, paths, runs)
    tag_current(client, runs, current)
    save_views(client, experiment)
    # The UI opens on its pages for language models unless a link says otherwise.
    page = f"{address}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    comparison = f"{page}&viewStateShareKey={CURRENT}&compareRunsMode=CHART"
    return Links(f"{page}&viewStateShareKey={TRAININGS}", comparison if current else None)


def current_run_ids(config: Config, paths: Paths, runs: "list[Run]") -> set[str]:
    """Return which of `runs` are those that params.yaml lists and the workspace holds."""
    known = by_fingerprint(runs)
    listed = [run.name for run in config.runs if (paths.model(run.name) / "model.json").exists()]
    records = [load_run_record(name, config.tracking.experiment, paths) for name in listed]
    return {
        known[record.fingerprint].info.run_id for record in records if record.fingerprint in known
    }


def server_address(paths: Paths) -> str | None:
    """Return the address of the tracking server, without its password; None for a database."""
    uri = urlsplit(store_uri(paths))
    if uri.scheme not in ("http", "https"):
        return None
    return f"{uri.scheme}://{uri.netloc.rpartition('@')[2]}{uri.path.rstrip('/')}"


def ui_address(paths: Paths) -> str:
    """Return where a browser finds MLflow: the tracking server, or what `make ui` serves."""
    return server_address(paths) or f"http://{HOST}:{os.environ.get('MLFLOW_PORT', PORT)}"
