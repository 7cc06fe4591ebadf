"""Outputs, lock entries and checkpoints that params.yaml no longer names: found, and removed.

DVC keeps the outputs of a stage that the grid has lost. Its cache keeps them, too, until `dvc gc`:
what is pruned here comes back by naming the run again.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.data.dataset import load_dataset
from pipeline.storage import dvc_lock
from pipeline.storage.locks import is_locked
from pipeline.storage.reading import read_json


class StaleOutputs(NamedTuple):
    """Files and folders of no run, lock entries of stages that are gone, checkpoints of no run."""

    outs: list[Path]
    lock_entries: list[str]
    checkpoints: list[Path]


def find_stale(config: Config, paths: Paths) -> StaleOutputs:
    """Find what could be removed; a training that goes on is not among it."""
    names = [run.name for run in config.runs]
    return StaleOutputs(
        outs=stale_outs(names, config.grid.latent_dims, paths),
        lock_entries=stale_lock_entries(names, config.grid.latent_dims, paths),
        checkpoints=stale_checkpoints(config, paths),
    )


def stale_outs(names: list[str], latent_dims: list[int], paths: Paths) -> list[Path]:
    """Find outputs of runs and sizes that the grid does not have."""
    keep = {paths.baselines, *(paths.rivals(size) for size in latent_dims)}
    for name in names:
        keep |= outputs_of_run(name, paths)
    folders = sorted({path.parent for path in keep})
    there = [path for folder in folders if folder.exists() for path in sorted(folder.iterdir())]
    made = outputs_of_stages(paths)
    return [path for path in there if path not in keep and path in made]


def outputs_of_stages(paths: Paths) -> set[Path]:
    """List what stages made here, now or before: what else lies beside it is somebody's own.

    Those that dvc.lock knows, and those of each run whose model says that it was trained.
    """
    locked = dvc_lock.entries(paths.dvc_lock).values()
    made = {paths.root / path for entry in locked for path in dvc_lock.outs(entry)}
    for description in paths.model("any").parent.glob("*/model.json"):
        if "fingerprint" in read_json(description):
            made |= outputs_of_run(description.parent.name, paths)
    return made


def outputs_of_run(name: str, paths: Paths) -> set[Path]:
    """List what the stages of a run make."""
    pictures = {paths.samples(name), paths.nearest_neighbors(name)}
    return {paths.model(name), paths.metrics(name), paths.latent_stats(name), *pictures}


def stale_lock_entries(names: list[str], latent_dims: list[int], paths: Paths) -> list[str]:
    """Find stages of dvc.lock whose run or size the grid does not have."""
    stages = dvc_lock.entries(paths.dvc_lock)
    cells = {"", *names, *map(str, latent_dims)}
    return [stage for stage in stages if stage.partition("@")[2] not in cells]


def stale_checkpoints(config: Config, paths: Paths) -> list[Path]:
    """Find folders of checkpoints under fingerprints that no run of the grid has or would get."""
    from pipeline.workflow.fingerprint import run_fingerprint

    keep: set[str] = set()
    try:
        for run in config.runs:
            dataset = load_dataset(paths.dataset(run.data.dataset))
            keep.add(run_fingerprint(run, dataset.sha256))
            model = paths.model(run.name)
            if model.exists():
                keep.add(str(read_json(model / "model.json").get("fingerprint")))
    except UserError:
        # Without the data no fingerprint is known, and nothing is safe to remove.
        return []
    there = [path.parent for path in sorted(paths.checkpoints.glob("*/lock"))]
    return [path for path in there if path.name not in keep and not is_locked(path / "lock")]


def remove(stale: StaleOutputs, paths: Paths) -> None:
    """Remove all of it; the lock last, so that an interrupted removal is found again."""
    for path in (*stale.outs, *stale.checkpoints):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if stale.lock_entries:
        stages = dvc_lock.entries(paths.dvc_lock)
        kept = {name: entry for name, entry in stages.items() if name not in stale.lock_entries}
        dvc_lock.write(paths.dvc_lock, kept)
