"""DVC's run cache, which remembers every stage that was run: read, and cleared after a kill."""

import logging
import time
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.storage import dvc_lock
from pipeline.storage.yaml_io import read_yaml

# Seconds; an entry that a living process writes is moved to its place in milliseconds.
GRACE = 0.5
UNFINISHED = ".tmp"
logger = logging.getLogger(__name__)


def load_run_cache(repo: Any) -> list[dict[str, Any]]:
    """Read everything that DVC's run cache remembers, newest first."""
    found = []
    for path in folder(repo).glob("*/*/*"):
        # What is damaged, or gone meanwhile, DVC passes over, too.
        with suppress(UserError, OSError):
            if path.suffix != UNFINISHED and dvc_lock.is_whole(entry := read_yaml(path)):
                found.append((path.stat().st_mtime, entry))
    return [entry for _time, entry in sorted(found, key=itemgetter(0), reverse=True)]


def remove_unfinished(paths: Paths) -> None:
    """Remove entries that a kill cut off; DVC would take one for the newest, whatever it lacks."""
    from dvc.repo import Repo

    runs = folder(Repo(str(paths.root)))
    unfinished = list(runs.glob(f"*/*/*{UNFINISHED}"))
    if not unfinished:
        return
    time.sleep(GRACE)
    for path in unfinished:
        if path.exists():
            path.unlink(missing_ok=True)
            logger.warning("%s was cut off by a kill, and is removed", path)


def folder(repo: Any) -> Path:
    """Return where the run cache lies, which several clones may share."""
    return Path(repo.cache.local.path).parent.parent / "runs"
