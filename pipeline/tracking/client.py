"""The MLflow run of each training: which one it is, and what is logged to it."""

import logging
import socket
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import UserError, first_line
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.storage.locks import is_locked
from pipeline.tracking.metadata import COMPLETE, DESCRIPTION, log_description, run_tags
from pipeline.tracking.moved_store import KIND, artifacts_uri
from pipeline.tracking.saved_changes import RECORD
from pipeline.tracking.store import get_client, local_database, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run as MlflowRun

# Against latent_dim it tells a collapse at a glance, whatever the variants' losses are.
FIRST_METRIC = "val_kl"
# Present for every logged epoch: tells which epochs a store already has.
STEP_METRIC = "train_loss"
logger = logging.getLogger(__name__)


def create_store(paths: Paths) -> None:
    """Make a new local store once, before trainings side by side all need it.

    That takes seconds, or many on a busy machine. What fails is said, and stops nothing.
    """
    try:
        database = local_database(store_uri(paths))
        if database and not database.exists():
            get_client(paths)
    # Whatever it is, the trainings meet it again and go on.
    except Exception as error:
        warn_unavailable(error)


def get_or_create_run(record: RunRecord, reopen: bool = True) -> "tuple[MlflowClient, str]":
    """Return the MLflow run of this fingerprint; `reopen` marks it RUNNING in this process.

    A run that lacks a part of its description, for example because its process was killed, gets it.
    """
    client = get_client(record.paths)
    experiment_id = _get_or_create_experiment(client, record)
    run = _find_run(client, experiment_id, record)
    if run is None:
        tags = run_tags(record, trained_here=reopen) | {"training_lock": training_lock(record)}
        run = client.create_run(experiment_id, run_name=record.run.name, tags=tags)
        if not reopen:
            client.set_terminated(run.info.run_id, "FINISHED")
    elif reopen:
        client.update_run(run.info.run_id, status="RUNNING")
        client.set_tag(run.info.run_id, "training_lock", training_lock(record))
    if not _is_described(client, run):
        log_description(client, run.info.run_id, record, trained_here=reopen)
    return client, run.info.run_id


def _is_described(client: "MlflowClient", run: "MlflowRun") -> bool:
    """Tell whether the whole description is there, also after artifacts were deleted by hand."""
    if run.data.tags.get(DESCRIPTION) != COMPLETE:
        return False
    return RECORD in {item.path for item in client.list_artifacts(run.info.run_id)}


def _find_run(client: "MlflowClient", experiment_id: str, record: RunRecord) -> "MlflowRun | None":
    """Return the run of this fingerprint, the best described one first; deleted ones come back."""
    from mlflow.entities import ViewType

    same = f"tags.fingerprint = '{record.fingerprint}'"
    if runs := client.search_runs([experiment_id], same):
        return preferred(runs)
    deleted = client.search_runs([experiment_id], same, run_view_type=ViewType.DELETED_ONLY)
    if not deleted:
        return None
    run_id = preferred(deleted).info.run_id
    client.restore_run(run_id)
    logger.info("%s had been deleted in MLflow; its run %s is restored", record.run.name, run_id)
    return client.get_run(run_id)


def preferred(runs: "list[MlflowRun]") -> "MlflowRun":
    """Choose among runs of one fingerprint: a complete one, of these the newest."""

    def rank(run: "MlflowRun") -> tuple[bool, int]:
        return run.data.tags.get(DESCRIPTION) == COMPLETE, run.info.start_time

    return max(runs, key=rank)


def by_fingerprint(runs: "list[MlflowRun]") -> "dict[str, MlflowRun]":
    """Return the preferred run of each training."""
    same: dict[str, list[MlflowRun]] = defaultdict(list)
    for run in runs:
        same[run.data.tags["fingerprint"]].append(run)
    return {fingerprint: preferred(several) for fingerprint, several in same.items()}


def search_training_runs(client: "MlflowClient", experiment: str) -> "list[MlflowRun]":
    """Return every training of the experiment, newest first."""
    known = client.get_experiment_by_name(experiment)
    if known is None:
        return []
    is_training = "tags.fingerprint LIKE '%'"
    return list(client.search_runs([known.experiment_id], is_training, max_results=50_000))


def _get_or_create_experiment(client: "MlflowClient", record: RunRecord) -> str:
    """Return the experiment's id; one that was deleted is restored, with its runs."""
    from mlflow.exceptions import MlflowException

    if existing := client.get_experiment_by_name(record.experiment):
        if existing.lifecycle_stage == "deleted":
            client.restore_experiment(existing.experiment_id)
            logger.info(
                "experiment %s had been deleted in MLflow; it is restored with its runs",
                record.experiment,
            )
        _require_reachable(existing, record)
        return str(existing.experiment_id)
    # Beside a local database the artifacts need a place; a server chooses its own.
    database = local_database(store_uri(record.paths))
    location = artifacts_uri(database) if database else None
    try:
        return str(client.create_experiment(record.experiment, location, KIND))
    except MlflowException:
        # Another process was faster.
        if existing := client.get_experiment_by_name(record.experiment):
            return str(existing.experiment_id)
        raise


def _require_reachable(experiment: "Experiment", record: RunRecord) -> None:
    """Raise UserError where only a server can reach what the store keeps beside its database."""
    place, uri = experiment.artifact_location, store_uri(record.paths)
    if place.startswith("mlflow-artifacts:") and local_database(uri):
        raise UserError(
            f"experiment {experiment.name} was made by an MLflow server, which alone reaches its "
            f"artifacts ({place}): set MLFLOW_TRACKING_URI to that server, or another "
            "tracking.experiment"
        )


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
        first_line(error)[:400],
    )
