"""The MLflow store: where it is, which run belongs to which training, and what describes it there."""

import os
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline import first_line
from pipeline.storage.locks import is_locked
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.tracking.metadata import describe, tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

# A tracking server that is away must cost seconds, not the minutes of MLflow's own defaults.
HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
PARENT = "mlflow.parentRunId"
FIRST_METRIC = "validation_kl"  # against latent_dim it tells a collapse at a glance, whatever the variants' losses are
STEP_METRIC = "train_total_loss"  # present for every logged epoch: tells which epochs a store already has


def get_or_create_run(record: RunRecord, reopen: bool = True) -> "tuple[MlflowClient, str]":
    """The MLflow run of this fingerprint, made if there is none; `reopen` marks it RUNNING in this process."""
    client = get_client(record.paths)
    experiment = _experiment(client, record)
    found = client.search_runs([experiment], f"tags.fingerprint = '{record.fingerprint}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
        if reopen:
            client.update_run(run_id, status="RUNNING")
            client.set_tag(run_id, "training_lock", training_lock(record))
        return client, run_id
    study = _study_run(client, experiment, record.paths)
    to_dict = tags(record, trained_here=reopen) | {PARENT: study, "training_lock": training_lock(record)}
    run_id = client.create_run(experiment, run_name=record.run.name, tags=to_dict).info.run_id
    describe(client, run_id, record)
    if not reopen:
        client.set_terminated(run_id, "FINISHED")
    return client, run_id


def search_training_runs(client: "MlflowClient", experiment: str) -> "list[MlflowRun]":
    """Every training of the experiment with this name, newest first; the parents that group them are none."""
    known = client.get_experiment_by_name(experiment)
    wanted = "tags.fingerprint LIKE '%'"
    return list(client.search_runs([known.experiment_id], wanted, max_results=50_000)) if known else []


def get_client(paths: Paths) -> "MlflowClient":
    """A client of MLFLOW_TRACKING_URI, or of the repository's own SQLite store."""
    for name, value in HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    import logging

    # The first use of a database logs dozens of migration steps that no reader of a training needs.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    database = _local_database(paths)
    if database and not database.exists():
        _make_database(database)
    return MlflowClient(tracking_uri=store_uri(paths))


def _make_database(path: Path) -> None:
    """A new SQLite store, whole or not at all: MLflow's own migrations race between processes and can be torn."""
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"), tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as folder:
        if not path.exists():
            made = Path(folder) / path.name
            MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments(max_results=1)
            made.replace(path)


def store_uri(paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, or the repository's own SQLite store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.tracking_database}"


def _local_database(paths: Paths) -> Path | None:
    """The store's SQLite file; None where the store is a server."""
    _, local, database = store_uri(paths).partition("sqlite:///")
    return Path(database) if local else None


def _experiment(client: "MlflowClient", record: RunRecord) -> str:
    from mlflow.exceptions import MlflowException

    if existing := client.get_experiment_by_name(record.experiment):
        return existing.experiment_id
    # Beside a local database the artifacts need a place; a server chooses its own.
    database = _local_database(record.paths)
    location = (database.resolve().parent / "mlartifacts").as_uri() if database else None
    try:
        # The kind opens the UI on the runs' table instead of on MLflow's pages for language models.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(record.experiment, artifact_location=location, tags=kind)
    except MlflowException:
        # Another process was faster.
        if existing := client.get_experiment_by_name(record.experiment):
            return existing.experiment_id
        raise


def _study_run(client: "MlflowClient", experiment: str, paths: Paths) -> str:
    """The parent of a study's runs: one for the workspace, and one for each DVC experiment."""
    name = os.environ.get("DVC_EXP_NAME", "workspace")
    # Two trainings that start at once must not make two.
    with FileLock(paths.checkpoints / "study.lock"):
        found = client.search_runs([experiment], f"tags.study = '{name}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        parent = client.create_run(experiment, run_name=f"study: {name}", tags={"study": name}).info.run_id
        client.set_terminated(parent, "FINISHED")
        return str(parent)


def log_metrics(client: "MlflowClient", run_id: str, metrics: dict[str, Any], step: int) -> None:
    """Log the numbers among `metrics` in one call, the headline before the others."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    numbers = {key: value for key, value in metrics.items() if isinstance(value, int | float) and key != "epoch"}
    ordered = sorted(numbers, key=lambda key: key != FIRST_METRIC)
    client.log_batch(run_id, metrics=[Metric(key, float(numbers[key]), now, step) for key in ordered])


def logged_epochs(client: "MlflowClient", run_id: str) -> set[int]:
    """The epochs that the store already has."""
    return {metric.step for metric in client.get_metric_history(run_id, STEP_METRIC)}


def training_lock(record: RunRecord) -> str:
    """Host and path of the lock that whoever trains this run holds."""
    return f"{socket.gethostname()} {record.paths.lock(record.fingerprint).resolve()}"


def may_be_running(training_lock: str) -> bool:
    """Whether a process may still be training; other hosts get the benefit of the doubt."""
    host, _, path = training_lock.partition(" ")
    return host != socket.gethostname() or is_locked(Path(path))


def warn_unavailable(error: Exception) -> None:
    print(
        f"MLflow could not be written ({first_line(error)[:200]}); every file is complete without it, and "
        "`python -m pipeline sync` will add what is missing",
        flush=True,
    )
