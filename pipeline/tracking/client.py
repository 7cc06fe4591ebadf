"""The MLflow store: where it is, which run belongs to which training, and what is logged to it."""

import logging
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline import first_line
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.storage.locks import is_locked
from pipeline.tracking.metadata import log_description, run_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

# A tracking server that is away must cost seconds, not the minutes of MLflow's own defaults.
HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
PARENT = "mlflow.parentRunId"
# Against latent_dim it tells a collapse at a glance, whatever the variants' losses are.
FIRST_METRIC = "val_kl"
# Present for every logged epoch: tells which epochs a store already has.
STEP_METRIC = "train_loss"
logger = logging.getLogger(__name__)


def get_or_create_run(record: RunRecord, reopen: bool = True) -> "tuple[MlflowClient, str]":
    """Return the MLflow run of this fingerprint; `reopen` marks it RUNNING in this process."""
    client = get_client(record.paths)
    experiment_id = _get_or_create_experiment(client, record)
    same = f"tags.fingerprint = '{record.fingerprint}'"
    runs = client.search_runs([experiment_id], same, max_results=1)
    if runs:
        run_id = runs[0].info.run_id
        if reopen:
            client.update_run(run_id, status="RUNNING")
            client.set_tag(run_id, "training_lock", training_lock(record))
        return client, run_id
    parent = _get_or_create_parent(client, experiment_id, record.paths)
    tags = run_tags(record, trained_here=reopen)
    tags |= {PARENT: parent, "training_lock": training_lock(record)}
    run_id = client.create_run(experiment_id, run_name=record.run.name, tags=tags).info.run_id
    log_description(client, run_id, record)
    if not reopen:
        client.set_terminated(run_id, "FINISHED")
    return client, run_id


def search_training_runs(client: "MlflowClient", experiment: str) -> "list[MlflowRun]":
    """Return every training of the experiment, newest first; parents that group them are none."""
    known = client.get_experiment_by_name(experiment)
    if known is None:
        return []
    is_training = "tags.fingerprint LIKE '%'"
    return list(client.search_runs([known.experiment_id], is_training, max_results=50_000))


def get_client(paths: Paths) -> "MlflowClient":
    """Return a client of MLFLOW_TRACKING_URI, or of the repository's own SQLite store."""
    for name, value in HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    # The first use of a database logs dozens of migration steps that nobody needs.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    database = _local_database(paths)
    if database and not database.exists():
        _create_database(database)
    return MlflowClient(tracking_uri=store_uri(paths))


def _create_database(path: Path) -> None:
    """Make a new SQLite store, whole or not at all.

    MLflow's own migrations race between processes and can be torn.
    """
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-")
    with FileLock(f"{path}.lock"), beside as folder:
        if not path.exists():
            made = Path(folder) / path.name
            MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments(max_results=1)
            made.replace(path)


def store_uri(paths: Paths) -> str:
    """Return MLFLOW_TRACKING_URI, or the repository's own SQLite store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.tracking_database}"


def _local_database(paths: Paths) -> Path | None:
    """Return the store's SQLite file; None where the store is a server."""
    _, local, database = store_uri(paths).partition("sqlite:///")
    return Path(database) if local else None


def _get_or_create_experiment(client: "MlflowClient", record: RunRecord) -> str:
    from mlflow.exceptions import MlflowException

    if existing := client.get_experiment_by_name(record.experiment):
        return existing.experiment_id
    # Beside a local database the artifacts need a place; a server chooses its own.
    database = _local_database(record.paths)
    location = (database.resolve().parent / "mlartifacts").as_uri() if database else None
    # The kind opens the UI on the runs' table instead of on MLflow's pages for language models.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    try:
        return client.create_experiment(record.experiment, artifact_location=location, tags=tags)
    except MlflowException:
        # Another process was faster.
        if existing := client.get_experiment_by_name(record.experiment):
            return existing.experiment_id
        raise


def _get_or_create_parent(client: "MlflowClient", experiment_id: str, paths: Paths) -> str:
    """Return the parent of a study's runs: one for the workspace, one for each DVC experiment."""
    name = os.environ.get("DVC_EXP_NAME", "workspace")
    # Two trainings that start at once must not make two.
    with FileLock(paths.checkpoints / "study.lock"):
        parents = client.search_runs([experiment_id], f"tags.study = '{name}'", max_results=1)
        if parents:
            return str(parents[0].info.run_id)
        tags = {"study": name}
        parent = client.create_run(experiment_id, run_name=f"study: {name}", tags=tags)
        client.set_terminated(parent.info.run_id, "FINISHED")
        return str(parent.info.run_id)


def log_metrics(client: "MlflowClient", run_id: str, metrics: dict[str, Any], step: int) -> None:
    """Log the numbers among `metrics` in one call, FIRST_METRIC before the others."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float) and k != "epoch"}
    ordered = sorted(numbers, key=lambda key: key != FIRST_METRIC)
    rows = [Metric(key, float(numbers[key]), now, step) for key in ordered]
    client.log_batch(run_id, metrics=rows)


def logged_epochs(client: "MlflowClient", run_id: str) -> set[int]:
    """Return the epochs that the store already has."""
    return {metric.step for metric in client.get_metric_history(run_id, STEP_METRIC)}


def training_lock(record: RunRecord) -> str:
    """Return host and path of the lock that whoever trains this run holds."""
    return f"{socket.gethostname()} {record.paths.lock(record.fingerprint).resolve()}"


def may_be_running(training_lock: str) -> bool:
    """Tell whether a process may still be training; other hosts get the benefit of the doubt."""
    host, _, path = training_lock.partition(" ")
    return host != socket.gethostname() or is_locked(Path(path))


def warn_unavailable(error: Exception) -> None:
    """Say that the tracker lacks something, and how it gets it."""
    if isinstance(error, ModuleNotFoundError) and error.name == "mlflow":
        logger.warning(
            "MLflow is not installed here, so nothing is tracked; the files are those of a tracked "
            "stage, and `python -m pipeline sync` where it is installed takes them up"
        )
        return
    logger.warning(
        "MLflow could not be written (%s); every file is complete without it, and "
        "`python -m pipeline sync` will add what is missing",
        first_line(error)[:200],
    )
