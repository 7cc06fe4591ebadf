"""Bring MLflow to the workspace: rebuild what is missing from the files, close what is stale, mark what is shown."""

from typing import TYPE_CHECKING, NamedTuple

from pipeline import UserError, first_line
from pipeline.storage import dvc_lock
from pipeline.config.schema import Config
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json
from pipeline.config.run_record import load_run_record
from pipeline.tracking.artifacts import log_artifacts
from pipeline.tracking.registry import promote_champion, log_model
from pipeline.tracking.client import get_client, may_be_running, get_or_create_run, store_uri, search_training_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class SyncResult(NamedTuple):
    """What was done: additions by run, closed runs, the listed runs that are not trained yet, and the best one."""

    added: dict[str, int]
    closed: list[str]
    missing: list[str]
    champion: str | None


def sync(params: Config, paths: Paths) -> SyncResult:
    """Make the store show exactly the study that params.yaml lists and the files hold; running it twice adds nothing.

    A run that is being trained by a living process is left alone. UserError if the store cannot be used.
    """
    try:
        return _sync(params, paths)
    except UserError:
        raise
    # The tracker's own errors are many (REST, SQL, sockets); each is one reason for the person to read.
    except Exception as error:
        reason = first_line(error)[:200]
        raise UserError(f"MLflow at {store_uri(paths)} cannot be brought up to date: {reason}") from error


def _sync(params: Config, paths: Paths) -> SyncResult:
    added: dict[str, int] = {}
    missing, current = [], {}
    locked = dvc_lock.entries(paths.dvc_lock)
    for run in params.runs:
        if not (paths.model(run.name) / "model.json").exists():
            missing.append(run.name)
            continue
        record = load_run_record(run.name, params.tracking.experiment, paths)
        client, run_id = get_or_create_run(record, reopen=False)
        current[run.name] = run_id
        added[run.name] = log_artifacts(client, run_id, record, locked, overwrite=False)
        added[run.name] += log_model(client, run_id, record)
    client = get_client(paths)
    closed = tag_current_and_close_stale(client, params.tracking.experiment, set(current.values()))
    return SyncResult(added, closed, missing, promote_champion(client, params, paths, current))


def find_drift(params: Config, paths: Paths) -> list[str]:
    """Where MLflow does not show what the workspace holds, a line for each run; an unreachable MLflow is one line."""
    try:
        client = get_client(paths)
        known = search_training_runs(client, params.tracking.experiment)
    # The tracker's own errors are many; none of them is the report's.
    except Exception as error:
        return [f"MLflow cannot be asked: {first_line(error)[:200]}"]
    found = []
    for run in params.runs:
        fingerprint = load_run_record(run.name, params.tracking.experiment, paths).fingerprint
        same = [there for there in known if there.data.tags.get("fingerprint") == fingerprint]
        if len(same) != 1:
            found.append(f"{run.name} has {len(same)} runs in MLflow")
            continue
        expected = read_json(paths.metrics(run.name))
        shown = {**same[0].data.metrics, **same[0].data.tags}
        other = [key for key, value in expected.items() if shown.get(key) != value]
        if other or same[0].info.status != "FINISHED":
            found.append(
                f"{run.name} is {same[0].info.status} in MLflow; it differs in: {', '.join(other) or 'nothing'}"
            )
    return found


def run_ids(params: Config, paths: Paths) -> dict[str, str]:
    """MLflow's id of every training of the experiment, by fingerprint; none where MLflow cannot be asked."""
    try:
        known = search_training_runs(get_client(paths), params.tracking.experiment)
    # What is wrong, `differences` says.
    except Exception:
        return {}
    return {run.data.tags["fingerprint"]: run.info.run_id for run in known}


def expected_status(run: "Run", has_files: bool) -> str | None:
    """What the run's status should be, where it is not that: whole files are a finished training, whoever died."""
    status = run.info.status
    if has_files:
        return "FINISHED" if status != "FINISHED" else None
    stale = status == "RUNNING" and not may_be_running(run.data.tags.get("training_lock", ""))
    return "KILLED" if stale else None


def tag_current_and_close_stale(client: "MlflowClient", experiment: str, current: set[str]) -> list[str]:
    """Tag what the workspace shows, and close what no living process is writing; returns the closed runs' names."""
    closed = []
    for run in search_training_runs(client, experiment):
        shown = str(run.info.run_id in current).lower()
        if run.data.tags.get("current") != shown:
            client.set_tag(run.info.run_id, "current", shown)
        if true := expected_status(run, run.info.run_id in current):
            client.set_terminated(run.info.run_id, true)
            closed.append(run.info.run_name)
    return closed
