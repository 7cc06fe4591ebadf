"""Where an MLflow run came from: its commit, its uncommitted changes, its params.yaml and lock entries."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline import UserError, first_line
from pipeline.config.paths import Paths
from pipeline.tracking.client import get_client, store_uri, search_training_runs

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


def find_provenance(wanted: str, experiment: str, paths: Paths, folder: Path) -> RunProvenance:
    """Of the run with this id or name, its files copied into `folder`; UserError if it cannot be found."""
    try:
        client = get_client(paths)
        run = _find(client, wanted, experiment)
        there = {item.path for item in client.list_artifacts(run.info.run_id)}

        def copy(name: str) -> Path | None:
            return Path(client.download_artifacts(run.info.run_id, name, str(folder))) if name in there else None

        params, commit = copy("params.yaml"), run.data.tags.get("git_commit", "unknown")
        if params is None or commit == "unknown":
            lacking = "params.yaml" if params is None else "git commit"
            raise UserError(f"run {wanted} carries no {lacking}: it was not made by this study in a git repository")
        return RunProvenance(run.info.run_name, commit, params, copy("git.diff"), copy("dvc.lock"))
    except UserError:
        raise
    # The tracker's own errors are many (REST, SQL, sockets); each is one reason for the person to read.
    except Exception as error:
        reason = first_line(error)[:200]
        raise UserError(f"run {wanted} cannot be read from MLflow at {store_uri(paths)}: {reason}") from error


def _find(client: "MlflowClient", wanted: str, experiment: str) -> "Run":
    """A run by its id; or by its name, the one that the workspace shows before the newest."""
    if re.fullmatch(r"[0-9a-f]{32}", wanted):
        return client.get_run(wanted)
    runs = search_training_runs(client, experiment)
    named = [run for run in runs if run.info.run_name == wanted]
    if not named:
        names = ", ".join(sorted({run.info.run_name for run in runs})) or "none"
        raise UserError(f"experiment {experiment} has no run {wanted}; it has: {names}")
    return next((run for run in named if run.data.tags.get("current") == "true"), named[0])
