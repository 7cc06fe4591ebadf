"""A local store whose folder was moved or copied: its artifacts are found where they lie now.

MLflow keeps absolute places of artifacts in its database. This project's experiments keep theirs in
`mlartifacts` beside the database, so a place that is elsewhere tells that the folder has moved.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

logger = logging.getLogger(__name__)

ARTIFACTS = "mlartifacts"
# The kind opens the UI on the runs' table instead of on MLflow's pages for language models; it also
# tells this project's experiments from others'.
KIND = {"mlflow.experimentKind": "custom_model_development"}
OURS = (
    "SELECT DISTINCT artifact_location FROM experiments JOIN experiment_tags USING (experiment_id) "
    "WHERE key = ? AND value = ?"
)
# Every column that has a place of artifacts.
PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def artifacts_uri(database: Path) -> str:
    """Return where this project's experiments keep artifacts: beside the database."""
    return (database.resolve().parent / ARTIFACTS).as_uri()


def repair_moved_store(database: Path) -> None:
    """Let the database name the artifacts beside it, if it still names where they were."""
    here = artifacts_uri(database)
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        stale = [place for place in _homes(connection) if _has_moved(place, here)]
        if not stale:
            return
        with connection:
            for place in stale:
                _replace(connection, place, here)
    logger.info("%s was moved here: MLflow's artifacts are those in %s", database, _folder(here))


def _homes(connection: sqlite3.Connection) -> list[str]:
    """List the places of this project's experiments; none in a database of an older MLflow."""
    try:
        found = connection.execute(OURS, *[next(iter(KIND.items()))]).fetchall()
    except sqlite3.OperationalError:
        # Of a table or column that is not there, MLflow itself says what to do.
        return []
    return [place for (place,) in found if place]


def _has_moved(place: str, here: str) -> bool:
    """Tell whether artifacts said to be in `place` are now beside the database.

    They are not if only the database was taken elsewhere.
    """
    if place == here or not place.endswith(f"/{ARTIFACTS}") or not place.startswith("file:"):
        return False
    return _folder(here).exists() or not _folder(place).exists()


def _folder(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Put `new` for `old` at the start of every place below it."""
    for table, columns in PLACES.items():
        for column in columns:
            # Names are this module's own; SQL has no placeholders for them.
            update = f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608 # nosec
            where = f"WHERE {column} = ? OR substr({column}, 1, ?) = ?"
            values = (new, len(old) + 1, old, len(old) + 1, f"{old}/")
            connection.execute(f"{update} {where}", values)
