"""The MLflow store: where it is, which run belongs to which training, and what describes it there."""

import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline.alone import is_held
from pipeline.params import Run
from pipeline.paths import Paths

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A tracking server that is away must cost seconds, not the minutes of MLflow's own defaults.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
STEP_METRIC = "train_total_loss"  # present for every logged epoch: tells which epochs a store already has


@dataclass(frozen=True)
class Identity:
    """Which MLflow run is meant, and what describes it."""

    run: Run
    fingerprint: str
    dataset_sha256: str
    experiment: str
    paths: Paths


def open_run(identity: Identity, reopen: bool = True) -> "tuple[MlflowClient, str]":
    """The MLflow run of this fingerprint, made if there is none; `reopen` marks it RUNNING in this process."""
    client = connect(identity.paths)
    experiment = _experiment(client, identity)
    found = client.search_runs([experiment], f"tags.fingerprint = '{identity.fingerprint}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
        if reopen:
            client.update_run(run_id, status="RUNNING")
            client.set_tag(run_id, "training_lock", training_lock(identity))
        return client, run_id
    run_id = client.create_run(experiment, run_name=identity.run.name, tags=_tags(identity)).info.run_id
    _describe(client, run_id, identity)
    if not reopen:
        client.set_terminated(run_id, "FINISHED")
    return client, run_id


def connect(paths: Paths) -> "MlflowClient":
    """A client of MLFLOW_TRACKING_URI, or of the repository's own SQLite store."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    import logging

    # The first use of a database logs dozens of migration steps that no reader of a training needs.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    uri = store_uri(paths)
    _, local, database = uri.partition("sqlite:///")
    if local and not Path(database).exists():
        _make_database(Path(database))
    return MlflowClient(tracking_uri=uri)


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


def _experiment(client: "MlflowClient", identity: Identity) -> str:
    from mlflow.exceptions import MlflowException

    if existing := client.get_experiment_by_name(identity.experiment):
        return existing.experiment_id
    # Beside a local database the artifacts need a place; a server chooses its own.
    _, local, database = store_uri(identity.paths).partition("sqlite:///")
    location = (Path(database).resolve().parent / "mlartifacts").as_uri() if local else None
    try:
        # The kind opens the UI on the runs' table instead of on MLflow's pages for language models.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(identity.experiment, artifact_location=location, tags=kind)
    except MlflowException:
        # Another process was faster.
        if existing := client.get_experiment_by_name(identity.experiment):
            return existing.experiment_id
        raise


def _tags(identity: Identity) -> dict[str, str]:
    commit = _git("rev-parse", "HEAD") or "unknown"
    return {
        "fingerprint": identity.fingerprint,
        "dvc_stage": f"train@{identity.run.name}",
        "dataset_sha256": identity.dataset_sha256,
        "git_commit": commit,
        "git_dirty": str(bool(_git("status", "--porcelain"))).lower(),
        "mlflow.source.git.commit": commit,
        "mlflow.source.name": "dvc repro",
        "training_lock": training_lock(identity),
    }


def _describe(client: "MlflowClient", run_id: str, identity: Identity) -> None:
    """The parameters as they took effect, and the dataset."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    run = identity.run
    effective = run.described()
    effective |= effective.pop("recipe")
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flattened(effective).items()])
    client.log_dict(run_id, effective, "params.yaml")
    # The store keeps 36 characters of a digest; the whole SHA-256 is a tag.
    name = run.recipe.data.dataset
    dataset = Dataset(name, identity.dataset_sha256[:36], "local", f'{{"uri": "data/{name}"}}')
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def flattened(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"epochs": 50}} -> {"train.epochs": 50}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def log_metrics(client: "MlflowClient", run_id: str, metrics: dict[str, Any], step: int) -> None:
    """Log the numbers among `metrics` in one call."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    numbers = {key: value for key, value in metrics.items() if isinstance(value, int | float) and key != "epoch"}
    client.log_batch(run_id, metrics=[Metric(key, float(value), now, step) for key, value in numbers.items()])


def logged_epochs(client: "MlflowClient", run_id: str) -> set[int]:
    """The epochs that the store already has."""
    return {metric.step for metric in client.get_metric_history(run_id, STEP_METRIC)}


def training_lock(identity: Identity) -> str:
    """Host and path of the lock that whoever trains this run holds."""
    return f"{socket.gethostname()} {identity.paths.lock(identity.fingerprint).resolve()}"


def may_be_running(training_lock: str) -> bool:
    """Whether a process may still be training; other hosts get the benefit of the doubt."""
    host, _, path = training_lock.partition(" ")
    return host != socket.gethostname() or is_held(Path(path))


def _git(*arguments: str) -> str:
    """Output of a git command; empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def say_outage(error: Exception) -> None:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    print(
        f"MLflow could not be written ({reason[:200]}); every file is complete without it, and "
        "`python -m pipeline sync` will add what is missing",
        flush=True,
    )
