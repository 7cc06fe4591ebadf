"""Which training an MLflow run id or an alias of the registry means, and its model's files."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline import UserError, first_line
from pipeline.config.names import model_name
from pipeline.config.paths import Paths
from pipeline.tracking.store import get_client, local_database, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# How many runs are named where a prefix fits several.
MAX_NAMED = 5


class Training(NamedTuple):
    """An MLflow run of this project: its name, its id there, its fingerprint, what was measured."""

    name: str
    run_id: str
    fingerprint: str
    measured: dict[str, Any]


def find_by_id(prefix: str, paths: Paths) -> Training:
    """Find a training by its MLflow id, or the beginning of it, in any experiment of the store.

    Raises UserError if there is none, or more than one.
    """
    with _explained(prefix, paths):
        client = _get_client(paths)
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(ids, f"attributes.run_id LIKE '{prefix}%'")
        if not runs:
            raise UserError(f"MLflow has no run whose id begins with {prefix}")
        if len(runs) > 1:
            ids = [f"{run.info.run_id} ({run.info.run_name})" for run in runs[:MAX_NAMED]]
            raise UserError(
                f"{len(runs)} MLflow runs begin with {prefix}; write more of it: {', '.join(ids)}"
            )
        return _training(runs[0])


def find_by_alias(alias: str, experiments: Iterable[str], paths: Paths) -> Training:
    """Find what the first of the experiments whose registered model has the alias means by it.

    Raises UserError if none has.
    """
    with _explained(alias, paths):
        client = _get_client(paths)
        for experiment in experiments:
            registered = model_name(experiment)
            if client.search_registered_models(f"name = '{registered}'"):
                aliases = client.get_registered_model(registered).aliases
                if alias in aliases:
                    version = client.get_model_version(registered, aliases[alias])
                    return _training(client.get_run(str(version.run_id)))
        raise UserError(
            f"MLflow has no {alias}: `python -m pipeline sync` names the best run that was "
            "measured and did not collapse"
        )


def download_model(training: Training, folder: Path, paths: Paths) -> Path:
    """Copy the weights and their description from MLflow into `folder`; return where they lie."""
    # It is small, and a bar for each of its files says nothing.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with _explained(training.run_id, paths):
        client = _get_client(paths)
        return Path(client.download_artifacts(training.run_id, "model", str(folder)))


@contextmanager
def _explained(query: str, paths: Paths) -> Iterator[None]:
    """Turn whatever MLflow says into a UserError."""
    try:
        yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(
            f"only MLflow knows what {query} is, and {error.name} is not installed here; name a "
            "run in models/"
        ) from None
    # The tracker's own errors are many (REST, SQL, sockets); each is one reason to read.
    except Exception as error:
        raise UserError(
            f"{query} cannot be read from MLflow at {store_uri(paths)}: {first_line(error)[:200]}"
        ) from None


def _get_client(paths: Paths) -> "MlflowClient":
    """Return a client of the store; UserError where there is none, which is left so."""
    database = local_database(store_uri(paths))
    if database and not database.exists():
        raise UserError(
            f"only MLflow knows that, and it has nothing here: there is no {database}; name a run "
            "in models/, or `python -m pipeline sync` first"
        )
    return get_client(paths)


def _training(run: "Run") -> Training:
    fingerprint = run.data.tags.get("fingerprint")
    if fingerprint is None:
        raise UserError(f"MLflow run {run.info.run_id} is no training of this project")
    # What is no number, such as the verdict, is a tag.
    measured = {**run.data.metrics, **run.data.tags}
    return Training(run.info.run_name, run.info.run_id, fingerprint, measured)
