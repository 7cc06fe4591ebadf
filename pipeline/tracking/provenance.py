"""Where an MLflow run came from: its commit, uncommitted changes, params.yaml, lock entries."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline import UserError, first_line
from pipeline.config.paths import Paths
from pipeline.tracking.client import get_client, search_training_runs, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class RunProvenance(NamedTuple):
    """Files are local copies; `diff` and `lock` are None where the run has none."""

    name: str
    commit: str
    params: Path
    diff: Path | None
    lock: Path | None


def find_provenance(query: str, experiment: str, paths: Paths, folder: Path) -> RunProvenance:
    """Copy the files of the run with this id or name into `folder`.

    Raises UserError if it cannot be found or was not made by this study.
    """
    try:
        client = get_client(paths)
        run = find_run(client, query, experiment)
        return _provenance_of(client, run, query, folder)
    except UserError:
        raise
    # The tracker's own errors are many (REST, SQL, sockets); each is one reason to read.
    except Exception as error:
        reason = first_line(error)[:200]
        raise UserError(
            f"run {query} cannot be read from MLflow at {store_uri(paths)}: {reason}"
        ) from error


def _provenance_of(client: "MlflowClient", run: "Run", query: str, folder: Path) -> RunProvenance:
    run_id = run.info.run_id
    there = {item.path for item in client.list_artifacts(run_id)}

    def copy(name: str) -> Path | None:
        if name not in there:
            return None
        return Path(client.download_artifacts(run_id, name, str(folder)))

    params, commit = copy("params.yaml"), run.data.tags.get("git_commit", "unknown")
    if params is None or commit == "unknown":
        lacking = "params.yaml" if params is None else "git commit"
        raise UserError(
            f"run {query} carries no {lacking}: it was not made by this study in a git repository"
        )
    return RunProvenance(run.info.run_name, commit, params, copy("git.diff"), copy("dvc.lock"))


def find_run(client: "MlflowClient", query: str, experiment: str) -> "Run":
    """Find a run by its id; or by its name, the one that the workspace shows before the newest."""
    if re.fullmatch(r"[0-9a-f]{32}", query):
        return client.get_run(query)
    runs = search_training_runs(client, experiment)
    named = [run for run in runs if run.info.run_name == query]
    if not named:
        names = ", ".join(sorted({run.info.run_name for run in runs})) or "none"
        raise UserError(f"experiment {experiment} has no run {query}; it has: {names}")
    return next((run for run in named if run.data.tags.get("current") == "true"), named[0])
