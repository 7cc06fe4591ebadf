"""Where the MLflow store is: a server, or one database anchored in the project's folder."""

import logging
import os
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pipeline import UserError
from pipeline.config.paths import Paths, expand_home
from pipeline.tracking.moved_store import repair_moved_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI = "MLFLOW_TRACKING_URI"
REGISTRY_URI = "MLFLOW_REGISTRY_URI"
# A tracking server that is away must cost seconds, not the minutes of MLflow's own defaults.
HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
# What MLflow takes for a server without a scheme.
SERVERS = ("databricks", "databricks-uc", "uc")


def store_uri(paths: Paths) -> str:
    """Return MLFLOW_TRACKING_URI, or the project's own SQLite store.

    A relative database lies in the project's folder, whatever folder a process runs in: stages of
    `dvc exp run --temp` and the demo write to the same one. Raises UserError if it is none.
    """
    own = f"sqlite:///{paths.tracking_database}"
    return anchor_uri(os.environ.get(URI) or own, paths.store_root, URI)


def anchor_uri(uri: str, root: Path, variable: str) -> str:
    """Return a store's URI that means the same in every folder.

    Raises UserError where `variable` names a folder of files or a database that is kept nowhere.
    """
    scheme, separator, rest = uri.partition("://")
    if uri.partition(":")[0] in SERVERS:
        return uri
    if not separator and ":" in uri and scheme.partition(":")[0] != "file":
        raise UserError(
            f"{variable}={uri} is no address: it lacks http:// (of a server) or sqlite:/// (of a "
            "database, relative to the project's folder)"
        )
    if not separator or scheme == "file":
        raise UserError(
            f"{variable}={uri} is a folder of files, which MLflow no longer writes; unset it for "
            f"{root / 'mlflow.db'}, or set it to sqlite:///NAME.db. `mlflow migrate-filestore "
            f"--source FOLDER --target sqlite:///NAME.db` brings the old runs along"
        )
    if scheme.partition("+")[0] != "sqlite":
        return uri
    path, query, options = rest.removeprefix("/").partition("?")
    if path in ("", ":memory:"):
        raise UserError(
            f"{variable}={uri} is a database in memory, which no other process sees; unset it for "
            f"{root / 'mlflow.db'}, or set it to sqlite:///NAME.db"
        )
    # An absolute path stays as it is spelled.
    place = os.path.normpath(root / expand_home(path, variable)) if path[0] != "/" else path
    return f"{scheme}:///{place}{query}{options}"


def local_database(uri: str) -> Path | None:
    """Return the SQLite file of an anchored URI; None where the store is a server."""
    scheme, _, rest = uri.partition(":///")
    return Path(rest.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" else None


def get_client(paths: Paths) -> "MlflowClient":
    """Return a client of the store, which is made if need be and follows a moved folder."""
    for name, value in HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    # The first use of a database logs dozens of migration steps that nobody needs.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    uri = store_uri(paths)
    registry = os.environ.get(REGISTRY_URI)
    if registry:
        registry = anchor_uri(registry, paths.store_root, REGISTRY_URI)
    database = local_database(uri)
    if database and not database.exists():
        _create_database(database)
    elif database:
        _require_same_version(uri, database)
        repair_moved_store(database)
    return MlflowClient(tracking_uri=uri, registry_uri=registry)


def _require_same_version(uri: str, database: Path) -> None:
    """Raise UserError for a database of another MLflow.

    Left alone, MLflow migrates some of them in place without a copy, in every process at once.
    """
    from mlflow import __version__

    with closing(sqlite3.connect(database, timeout=20)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.OperationalError:
            # Empty, locked or without that table: MLflow itself makes it or says what is wrong.
            return
    if found and found[0][0] != _own_revision():
        raise UserError(
            f"{database} is of another MLflow than {__version__}: copy it, then run `mlflow db "
            f"upgrade {uri}`; if a newer MLflow wrote it, use that one"
        )


@cache
def _own_revision() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _create_database(path: Path) -> None:
    """Make a new SQLite store, whole or not at all.

    MLflow's own migrations race between processes and can be torn.
    """
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-")
    with FileLock(f"{path}.lock"), beside as folder:
        if not path.exists():
            made = Path(folder) / path.name
            # SQLite would give it to its owner alone; like this the umask decides.
            made.touch()
            MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments(max_results=1)
            made.replace(path)
