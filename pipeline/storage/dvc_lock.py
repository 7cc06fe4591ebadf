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
    known = read_yaml(lock).get("stages") or {}
    if not isinstance(known, dict) or not all(map(is_whole, known.values())):
        raise UserError(f"{lock} is torn; `python -m pipeline repro` writes it anew")
    return known


def is_whole(entry: object) -> bool:
    """Tell whether it is a stage's entry: a command, and an MD5 by path of what it lists."""
    return (
        isinstance(entry, dict)
        and "cmd" in entry
        and all(
            isinstance(listed, list)
            and all(isinstance(file, dict) and {"path", "md5"} <= file.keys() for file in listed)
            for listed in (entry.get("deps", []), entry.get("outs", []))
        )
    )


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
