"""dvc.lock: what each stage was last made of and gave; read, cut down to some stages, written."""

from pathlib import Path
from typing import Any

from pipeline import UserError
from pipeline.storage import atomic
from pipeline.storage.merge_conflicts import first_marker
from pipeline.storage.yaml_io import dump_yaml, read_yaml

Entries = dict[str, dict[str, Any]]


def entries(lock: Path) -> Entries:
    """Read every stage's entry by name; none where there is no file.

    Raises UserError if it is torn, or a merge left it in conflict.
    """
    if not lock.exists():
        return {}
    if first_marker(lock.read_bytes().decode("utf-8", "replace")) is not None:
        raise UserError(
            f"{lock}: a git merge left it in conflict; `python -m pipeline repro` unites both "
            "sides' entries, and `git add dvc.lock` ends the conflict"
        )
    return dict(read_yaml(lock).get("stages") or {})


def outs(entry: dict[str, Any]) -> dict[str, str]:
    """Return the MD5 by path of what a stage gave."""
    return {out["path"]: out["md5"] for out in entry.get("outs", [])}


def deps(entry: dict[str, Any]) -> dict[str, str]:
    """Return the MD5 by path of what a stage was made of."""
    return {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}


def of_run(known: Entries, run: str) -> Entries:
    """Take the entries that a run's files come from: data, baselines, and its own stages."""
    stages = ["fetch", "baselines"]
    stages += [f"{stage}@{run}" for stage in ("train", "sample", "evaluate")]
    return {stage: known[stage] for stage in stages if stage in known}


def text(stages: Entries) -> str:
    """Return what dvc.lock says of these stages."""
    return dump_yaml({"schema": "2.0", "stages": stages})


def write(lock: Path, stages: Entries) -> None:
    """Write a dvc.lock of these stages, whole or not at all."""
    atomic.write_text(lock, text(stages))
