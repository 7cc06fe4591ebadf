"""Bring MLflow to the workspace: rebuild what is missing from the files, close what is stale, mark what is shown."""

from typing import TYPE_CHECKING, NamedTuple

from pipeline import StudyError, first_line, lockfile
from pipeline.params import Params
from pipeline.paths import Paths
from pipeline.reading import read_json
from pipeline.tracking.files import identity_of, log_files
from pipeline.tracking.registry import crown, log_decoder
from pipeline.tracking.store import connect, may_be_running, open_run, store_uri, trainings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class Synced(NamedTuple):
    """What was done: additions by run, closed runs, the listed runs that are not trained yet, and the best one."""

    added: dict[str, int]
    closed: list[str]
    missing: list[str]
    champion: str | None


def sync(params: Params, paths: Paths) -> Synced:
    """Make the store show exactly the study that params.yaml lists and the files hold; running it twice adds nothing.

    A run that is being trained by a living process is left alone. StudyError if the store cannot be used.
    """
    try:
        return _sync(params, paths)
    except StudyError:
        raise
    # The tracker's own errors are many (REST, SQL, sockets); each is one reason for the person to read.
    except Exception as error:
        reason = first_line(error)[:200]
        raise StudyError(f"MLflow at {store_uri(paths)} cannot be brought up to date: {reason}") from error


def _sync(params: Params, paths: Paths) -> Synced:
    added: dict[str, int] = {}
    missing, current = [], {}
    locked = lockfile.entries(paths.dvc_lock)
    for run in params.runs:
        if not (paths.model(run.name) / "model.json").exists():
            missing.append(run.name)
            continue
        identity = identity_of(run.name, params.tracking.experiment, paths)
        client, run_id = open_run(identity, reopen=False)
        current[run.name] = run_id
        added[run.name] = log_files(client, run_id, identity, locked, renew=False)
        added[run.name] += log_decoder(client, run_id, identity)
    client = connect(paths)
    closed = _mark(client, params.tracking.experiment, set(current.values()))
    return Synced(added, closed, missing, crown(client, params, paths, current))


def differences(params: Params, paths: Paths) -> list[str]:
    """Where MLflow does not show what the workspace holds, a line for each run; an unreachable MLflow is one line."""
    try:
        client = connect(paths)
        known = trainings(client, params.tracking.experiment)
    # The tracker's own errors are many; none of them is the report's.
    except Exception as error:
        return [f"MLflow cannot be asked: {first_line(error)[:200]}"]
    found = []
    for run in params.runs:
        fingerprint = identity_of(run.name, params.tracking.experiment, paths).fingerprint
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


def run_ids(params: Params, paths: Paths) -> dict[str, str]:
    """MLflow's id of every training of the experiment, by fingerprint; none where MLflow cannot be asked."""
    try:
        known = trainings(connect(paths), params.tracking.experiment)
    # What is wrong, `differences` says.
    except Exception:
        return {}
    return {run.data.tags["fingerprint"]: run.info.run_id for run in known}


def _true_status(run: "Run", has_files: bool) -> str | None:
    """What the run's status should be, where it is not that: whole files are a finished training, whoever died."""
    status = run.info.status
    if has_files:
        return "FINISHED" if status != "FINISHED" else None
    stale = status == "RUNNING" and not may_be_running(run.data.tags.get("training_lock", ""))
    return "KILLED" if stale else None


def _mark(client: "MlflowClient", experiment: str, current: set[str]) -> list[str]:
    """Tag what the workspace shows, and close what no living process is writing; returns the closed runs' names."""
    closed = []
    for run in trainings(client, experiment):
        shown = str(run.info.run_id in current).lower()
        if run.data.tags.get("current") != shown:
            client.set_tag(run.info.run_id, "current", shown)
        if true := _true_status(run, run.info.run_id in current):
            client.set_terminated(run.info.run_id, true)
            closed.append(run.info.run_name)
    return closed
