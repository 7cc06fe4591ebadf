"""Train the grid's runs side by side, ahead of DVC, which then finds each finished and saves it.

DVC runs one stage at a time. Runs are independent and their checkpoints are keyed by fingerprint,
so an engine (Dask) may bring every one to its last epoch in parallel, and a serial `dvc repro`
afterwards writes models, metrics and dvc.lock exactly as if it had trained them itself.
"""

import logging
import os
import subprocess
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from pipeline import UserError, first_line
from pipeline.config.grid import Config
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.storage.yaml_io import read_yaml
from pipeline.workflow.plan import plan
from pipeline.workflow.repository import tell_dvc_of_git

TOPIC = "vae-epochs"
logger = logging.getLogger(__name__)


def repro(paths: Paths, jobs: int, scheduler: str | None) -> dict[str, str]:
    """Run `dvc repro` with its trainings done by `jobs` processes or a Dask cluster, and `sync`.

    Returns errors by run: a failing one leaves the others running, and what does not need it is
    completed. Raises UserError if dvc itself fails.
    """
    config = load_config(paths.params)
    tell_dvc_of_git(paths)
    repair_dvc_lock(paths)
    # Dask changes this process's environment (OMP_NUM_THREADS): DVC's stages must not see that.
    environment = dict(os.environ)
    _dvc(paths, "repro", "fetch")
    runs = stale_runs(paths, config)
    errors = train_in_parallel(paths, runs, jobs, scheduler) if runs else {}
    # What failed once fails again in DVC, at the same epoch, and everything else is completed.
    keep_going = ["--keep-going"] if errors else []
    _dvc(paths, "repro", *keep_going, "evaluate", environment=environment, check=not errors)
    # The report names each run's id in MLflow, also of a run whose files came from the run cache.
    sync_mlflow(config, paths)
    if not errors:
        _dvc(paths, "repro", environment=environment)
    return errors


def sync_mlflow(config: Config, paths: Paths) -> None:
    """Run `sync`, whose failure is the tracker's and not the study's."""
    from pipeline.tracking.sync import sync

    try:
        champion = sync(config, paths).champion
    except UserError as error:
        logger.warning(
            "%s; the files are complete, and `python -m pipeline sync` tries again", error
        )
        return
    logger.info("MLflow shows this study; champion: %s", champion or "none, no run qualifies")


def repair_dvc_lock(paths: Paths) -> None:
    """Remove a torn dvc.lock: DVC writes it in place, so a kill may leave it empty or cut off.

    Nothing is lost: DVC's run cache has the outputs of every stage that was finished, and writes
    the entries again.
    """
    lock = paths.dvc_lock
    try:
        whole = not lock.exists() or {"schema", "stages"} <= read_yaml(lock).keys()
    except UserError:
        whole = False
    if not whole:
        lock.unlink()
        logger.warning(
            "%s was torn by a kill and is written anew; finished stages come from the run cache",
            lock,
        )


def stale_runs(paths: Paths, config: Config) -> list[str]:
    """List the runs that `dvc repro` would train now, without what its run cache holds."""
    # `dvc repro --dry` does not look into the run cache.
    stale = {status.stage for status in plan(config, paths) if status.state == "stale"}
    # A run of several processes fills the machine by itself: DVC trains it.
    single = [run for run in config.runs if run.train.world_size == 1]
    return [run.name for run in single if f"train@{run.name}" in stale]


def train_in_parallel(
    paths: Paths, runs: list[str], jobs: int, scheduler: str | None
) -> dict[str, str]:
    """Bring every run's checkpoint to its last epoch; returns the failed runs' errors."""
    from distributed import Client, as_completed

    root = str(paths.root.resolve())
    errors = {}
    with (
        _cluster(min(jobs, len(runs)), scheduler) as cluster,
        Client(cluster) as client,
        Progress() as screen,
    ):
        bars = {name: screen.add_task(name, total=None) for name in runs}
        client.subscribe_topic(TOPIC, lambda event: update_progress(screen, bars, *event[1]))
        futures = {client.submit(train_run, name, root, key=name): name for name in runs}
        for future in as_completed(futures):
            if error := future.exception():
                errors[futures[future]] = first_line(error)
    return errors


def _cluster(num_workers: int, scheduler: str | None) -> AbstractContextManager[Any]:
    """Return the scheduler's address, or workers of this machine."""
    if scheduler is not None:
        return nullcontext(scheduler)
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=logging.ERROR,
    )


def update_progress(
    screen: Progress, bars: dict[str, TaskID], name: str, epoch: int, total: int
) -> None:
    """Move a run's bar to its epoch."""
    screen.update(bars[name], completed=epoch, total=total)


def train_run(name: str, root: str) -> None:
    """In a worker: train one run in the workspace `root`, and report each epoch to who listens."""
    from distributed import get_worker

    from pipeline.workflow.train_run import train_to_last_checkpoint

    paths = Paths(Path(root))
    config, worker = load_config(paths.params), get_worker()
    run = config.run(name)

    def report(epoch: int) -> None:
        worker.log_event(TOPIC, (name, epoch, run.train.epochs))

    train_to_last_checkpoint(
        run, config, paths, lambda result: report(int(result.metrics["epoch"]))
    )


def _dvc(
    paths: Paths, *arguments: str, environment: dict[str, str] | None = None, check: bool = True
) -> None:
    done = subprocess.run(["dvc", *arguments], cwd=paths.root, env=environment)
    if check and done.returncode:
        raise UserError(f"dvc {' '.join(arguments)} failed; see above")
