"""Bring MLflow to the workspace: rebuild missing runs, close stale ones, mark what is shown."""

from typing import TYPE_CHECKING, NamedTuple

from pipeline import UserError, first_line
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.run_record import load_measured, load_run_record
from pipeline.storage import dvc_lock
from pipeline.tracking.artifacts import log_artifacts
from pipeline.tracking.client import (
    by_fingerprint,
    get_or_create_run,
    may_be_running,
    search_training_runs,
)
from pipeline.tracking.registry import log_model, promote_champion
from pipeline.tracking.store import get_client, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class SyncResult(NamedTuple):
    """Additions by run, closed runs, listed runs that are not trained yet, and the best one."""

    added: dict[str, int]
    closed: list[str]
    missing: list[str]
    champion: str | None


def sync(config: Config, paths: Paths) -> SyncResult:
    """Make the store show exactly the study that params.yaml lists and the files hold.

    Running it twice adds nothing. A run that is being trained by a living process is left alone.
    Raises UserError if the store cannot be used.
    """
    try:
        return _sync(config, paths)
    except UserError:
        raise
    # The tracker's own errors are many (REST, SQL, sockets); each is one reason to read.
    except Exception as error:
        reason = first_line(error)[:200]
        raise UserError(
            f"MLflow at {store_uri(paths)} cannot be brought up to date: {reason}"
        ) from error


def _sync(config: Config, paths: Paths) -> SyncResult:
    locked = dvc_lock.entries(paths.dvc_lock)
    experiment = config.tracking.experiment
    added: dict[str, int] = {}
    current: dict[str, str] = {}
    missing = []
    for run in config.runs:
        if not (paths.model(run.name) / "model.json").exists():
            missing.append(run.name)
            continue
        record = load_run_record(run.name, experiment, paths)
        client, run_id = get_or_create_run(record, reopen=False)
        current[run.name] = run_id
        added[run.name] = log_artifacts(client, run_id, record, locked, overwrite=False)
        added[run.name] += log_model(client, run_id, record)
    client = get_client(paths)
    closed = tag_current_and_close_stale(client, experiment, set(current.values()))
    champion = promote_champion(client, config, paths, current)
    return SyncResult(added, closed, missing, champion)


def find_drift(config: Config, paths: Paths) -> list[str]:
    """Say where MLflow does not show what the workspace holds, a line for each run.

    An unreachable MLflow is one line.
    """
    try:
        known = search_training_runs(get_client(paths), config.tracking.experiment)
    # The tracker's own errors are many; none of them is the report's.
    except Exception as error:
        return [f"MLflow cannot be asked: {first_line(error)[:200]}"]
    trained = by_fingerprint(known)
    drift = [_drift_of(run.name, config, paths, trained) for run in config.runs]
    return [line for line in drift if line]


def _drift_of(name: str, config: Config, paths: Paths, known: "dict[str, Run]") -> str | None:
    run = known.get(load_run_record(name, config.tracking.experiment, paths).fingerprint)
    if run is None:
        return f"{name} has 0 runs in MLflow"
    shown = {**run.data.metrics, **run.data.tags}
    expected = load_measured(name, paths)
    if not expected:
        return f"{name} is trained, and its model was not measured"
    other = [key for key, value in expected.items() if shown.get(key) != value]
    if not other and run.info.status == "FINISHED":
        return None
    keys = ", ".join(other) or "nothing"
    return f"{name} is {run.info.status} in MLflow; it differs in: {keys}"


def run_ids(config: Config, paths: Paths) -> dict[str, str]:
    """Return MLflow's id of every training by fingerprint; none where MLflow cannot be asked."""
    try:
        known = search_training_runs(get_client(paths), config.tracking.experiment)
    # What is wrong, `find_drift` says.
    except Exception:
        return {}
    trained = by_fingerprint(known)
    return {fingerprint: run.info.run_id for fingerprint, run in trained.items()}


def expected_status(run: "Run", has_files: bool) -> str | None:
    """Return what the run's status should be, where it is not that.

    Whole files are a finished training, whoever died.
    """
    status = run.info.status
    if has_files:
        return "FINISHED" if status != "FINISHED" else None
    running = may_be_running(run.data.tags.get("training_lock", ""))
    return "KILLED" if status == "RUNNING" and not running else None


def tag_current_and_close_stale(
    client: "MlflowClient", experiment: str, current: set[str]
) -> list[str]:
    """Tag what the workspace shows, and close what no living process is writing.

    `current` has run ids. Returns the closed runs' names.
    """
    closed = []
    runs = search_training_runs(client, experiment)
    tag_current(client, runs, current)
    for run in runs:
        run_id = run.info.run_id
        if status := expected_status(run, run_id in current):
            client.set_terminated(run_id, status)
            closed.append(run.info.run_name)
    return closed


def tag_current(client: "MlflowClient", runs: "list[Run]", current: set[str]) -> None:
    """Tag each run with whether the workspace shows it; `current` has the ids of those."""
    for run in runs:
        is_current = str(run.info.run_id in current).lower()
        if run.data.tags.get("current") != is_current:
            client.set_tag(run.info.run_id, "current", is_current)
