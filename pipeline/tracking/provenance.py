"""Where an MLflow run came from: its commit, uncommitted changes, params.yaml, lock entries."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline import UserError, first_line
from pipeline.config.paths import Paths
from pipeline.tracking.client import search_training_runs
from pipeline.tracking.saved_changes import (
    DIFF,
    PARAMS,
    RECORD,
    SavedCode,
    load_code,
)
from pipeline.tracking.store import get_client, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOCK = "dvc.lock"


class RunProvenance(NamedTuple):
    """What an MLflow run knows of its making; `lock` is a copy of dvc.lock, if it has one."""

    name: str
    code: SavedCode
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
    for name in (DIFF, PARAMS, RECORD, LOCK):
        if name in there:
            client.download_artifacts(run_id, name, str(folder))
    code = load_code(folder)
    if code is None or not code.params:
        raise UserError(
            f"run {query} does not say with which code it was trained: it was not made by this "
            "study, or `sync` found its files without their code; run "
            "`python -m pipeline sync` in the folder where it was trained"
        )
    # It becomes an argument of git; a shared server may hold anything.
    if not re.fullmatch("[0-9a-f]{40,64}", code.commit):
        raise UserError(f"run {query} carries no git commit: it was trained in no git repository")
    lock = folder / LOCK
    return RunProvenance(run.info.run_name, code, lock if lock.exists() else None)


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
