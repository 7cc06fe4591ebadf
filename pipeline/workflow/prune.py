"""Outputs, lock entries and checkpoints that params.yaml no longer names: found, and removed on demand.

DVC keeps the outputs of a stage that the grid has lost. Its cache keeps them, too, until `dvc gc`: what is pruned
here comes back by naming the run again.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from pipeline import UserError
from pipeline.storage import dvc_lock
from pipeline.storage.locks import is_locked
from pipeline.data.dataset import load_dataset
from pipeline.config.schema import Config
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json


class StaleOutputs(NamedTuple):
    """Files or folders that no run of the grid owns, lock entries of stages that are gone, and states of no run."""

    outs: list[Path]
    entries: list[str]
    stale_checkpoints: list[Path]


def find_stale(params: Config, paths: Paths) -> StaleOutputs:
    """What could be removed; a training that goes on is no leftover."""
    names = {run.name for run in params.runs}
    kept = {path(name) for name in names for path in (paths.model, paths.samples, paths.metrics, paths.dimensions)}
    kept |= {paths.neighbors(name) for name in names} | {paths.baselines}
    folders = {path.parent for path in kept}
    outs = [path for folder in sorted(folders) if folder.exists() for path in sorted(folder.iterdir())]
    stages = [stage for stage in dvc_lock.entries(paths.dvc_lock) if stage.partition("@")[2] not in {"", *names}]
    return StaleOutputs([p for p in outs if p not in kept and p.name != ".gitignore"], stages, stale_checkpoints(params, paths))


def stale_checkpoints(params: Config, paths: Paths) -> list[Path]:
    """Folders of checkpoints and times under fingerprints that no run of the grid has or would get."""
    from pipeline.stages.train import run_fingerprint

    try:
        would_get = {run_fingerprint(run, load_dataset(paths.dataset(run.recipe.data.dataset))) for run in params.runs}
        models = [paths.model(run.name) for run in params.runs if paths.model(run.name).exists()]
        have = {read_json(model / "model.json").get("fingerprint") for model in models}
    except UserError:
        return []  # without the data no fingerprint is known, and nothing is safe to remove
    found = [path.parent for path in sorted(paths.checkpoints.glob("*/lock"))]
    return [path for path in found if path.name not in would_get | have and not is_locked(path / "lock")]


def remove(found: StaleOutputs, paths: Paths) -> None:
    """Remove all of it; the lock last, so that an interrupted removal is found again."""
    for path in (*found.outs, *found.stale_checkpoints):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if found.entries:
        kept = {k: v for k, v in dvc_lock.entries(paths.dvc_lock).items() if k not in found.entries}
        dvc_lock.write(paths.dvc_lock, kept)
