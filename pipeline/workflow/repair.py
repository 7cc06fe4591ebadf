"""What a kill or a git merge left made usable again: dvc.lock, DVC's register, its run cache."""

import json
import logging
from pathlib import Path
from typing import Any

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.storage import dvc_lock, merge_conflicts
from pipeline.storage.locks import free_lock
from pipeline.storage.yaml_io import parse_yaml, read_yaml
from pipeline.workflow.run_cache import remove_unfinished

SHOWN_STAGES = 5
logger = logging.getLogger(__name__)


def repair(paths: Paths) -> None:
    """Make all three usable, so that DVC can start."""
    repair_register(paths)
    repair_dvc_lock(paths)
    remove_unfinished(paths)


def repair_register(paths: Paths) -> None:
    """Remove DVC's register of who reads and writes which file, if a kill tore it.

    Nothing is lost: it lists what processes hold while they run, and the one that wrote it died.
    While DVC writes it, it holds the guard beside it.
    """
    register = paths.root / ".dvc" / "tmp" / "rwlock"
    if not is_torn(register):
        return
    with free_lock(register.with_suffix(".lock")) as free:
        if free and is_torn(register):
            register.unlink()
            logger.warning("%s was torn by a kill, and is removed", register)


def is_torn(register: Path) -> bool:
    """Tell whether there is a register that is no JSON."""
    try:
        json.loads(register.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def repair_dvc_lock(paths: Paths) -> None:
    """Unite a dvc.lock that a merge left in conflict; set one aside that a kill has torn."""
    lock = paths.dvc_lock
    if not lock.exists():
        return
    text = lock.read_bytes().decode("utf-8", "replace")
    if merge_conflicts.first_marker(text) is not None:
        unite_sides(lock, text)
    elif not is_whole_file(lock) and not without_doubles(lock, text):
        set_aside(paths)


def unite_sides(lock: Path, text: str) -> None:
    """Write the entries of both sides of a conflict; git is told nothing, and keeps its index.

    Entries of one side are taken. Where both sides have another entry of a stage, that of HEAD
    stays: whatever params.yaml now says, DVC compares it with the files and makes anew what does
    not fit.
    """
    both = merge_conflicts.sides(lock, text)
    ours, theirs = (_entries(lock, side) for side in both)
    dvc_lock.write(lock, theirs | ours)
    added = [stage for stage in theirs if stage not in ours]
    differing = [stage for stage in theirs if stage in ours and ours[stage] != theirs[stage]]
    logger.warning(
        "%s had the conflict of a git merge: both sides' entries are united, %d added by the other",
        lock,
        len(added),
    )
    if differing:
        logger.warning(
            "dvc.lock: both sides changed %s; the entries of git's HEAD stay (in a rebase that is "
            "the branch on which yours is laid), and what does not fit params.yaml is made again "
            "or taken from the run cache (`dvc pull` may bring files of the other side)",
            _listed(differing),
        )
    if merge_conflicts.is_unmerged(lock):
        logger.warning("dvc.lock: `git add dvc.lock` tells git that its conflict is resolved")


def without_doubles(lock: Path, text: str) -> bool:
    """Write each stage's first entry where git merged a second one in; tell whether it was that.

    Two branches that each add the stage, at places apart, are no conflict to git.
    """
    from ruamel.yaml import YAML, YAMLError

    lenient = YAML(typ="safe", pure=True)
    lenient.allow_duplicate_keys = True
    try:
        document = lenient.load(text)
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError):
        return False
    if not is_readable(document):
        return False
    dvc_lock.write(lock, document["stages"])
    logger.warning(
        "%s had stages twice, as a git merge of two branches leaves it: of each the first entry "
        "stays, and what does not fit params.yaml is made again or taken from the run cache",
        lock,
    )
    return True


def _entries(lock: Path, text: str) -> dvc_lock.Entries:
    stages = parse_yaml(text, lock).get("stages") or {}
    if not isinstance(stages, dict):
        raise UserError(
            f"{lock}: one side of its merge conflict is no dvc.lock; take the other with "
            "`git checkout --ours dvc.lock` or `--theirs`"
        )
    return dict(stages)


def _listed(stages: list[str]) -> str:
    more = len(stages) - SHOWN_STAGES
    return ", ".join(stages[:SHOWN_STAGES]) + (f" and {more} more" if more > 0 else "")


def is_whole_file(lock: Path) -> bool:
    """Tell whether DVC can read the file: it writes it in place, so a kill may cut it off."""
    try:
        return is_readable(read_yaml(lock))
    except UserError:
        return False


def is_readable(document: dict[str, Any]) -> bool:
    """Tell whether DVC takes it for a dvc.lock with stages, each of them whole."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(document)
    except Invalid:
        return False
    if not {"schema", "stages"} <= document.keys():
        return False
    return all(map(dvc_lock.is_whole, document["stages"].values()))


def set_aside(paths: Paths) -> None:
    """Move a torn dvc.lock away.

    Nothing is lost: DVC's run cache has the outputs of every stage that was finished, and writes
    the entries again.
    """
    kept = paths.checkpoints / "dvc.lock.torn"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(paths.dvc_lock.read_bytes())
    paths.dvc_lock.unlink()
    logger.warning(
        "%s was torn by a kill and is written anew (the torn one is %s); finished stages come "
        "from the run cache",
        paths.dvc_lock,
        kept,
    )
