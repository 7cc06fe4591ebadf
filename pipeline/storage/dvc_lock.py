"""dvc.lock: what each stage was last made of and gave; read, cut down to some stages, and laid over another."""

from pathlib import Path
from typing import Any

from pipeline.storage import atomic
from pipeline.storage.yaml_io import dump_yaml, read_yaml

Entries = dict[str, dict[str, Any]]


def entries(lock: Path) -> Entries:
    """The entry of every stage by name; none where there is no file. UserError if it is torn."""
    return dict(read_yaml(lock)["stages"]) if lock.exists() else {}


def outs(entry: dict[str, Any]) -> dict[str, str]:
    """MD5 by path of what a stage gave."""
    return {out["path"]: out["md5"] for out in entry.get("outs", [])}


def deps(entry: dict[str, Any]) -> dict[str, str]:
    """MD5 by path of what a stage was made of."""
    return {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}


def of_run(found: Entries, run: str) -> Entries:
    """The entries that a run's files come from: the data, the baselines, and the run's own stages."""
    wanted = ("fetch", "baselines", *(f"{stage}@{run}" for stage in ("train", "sample", "evaluate")))
    return {stage: found[stage] for stage in wanted if stage in found}


def text(stages: Entries) -> str:
    """What dvc.lock says of these stages."""
    return dump_yaml({"schema": "2.0", "stages": stages})


def write(lock: Path, stages: Entries) -> None:
    atomic.write_text(lock, text(stages))
