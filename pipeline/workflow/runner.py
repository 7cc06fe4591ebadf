"""Train the grid's runs side by side, ahead of DVC, which then finds each finished and saves it.

DVC runs one stage at a time. Runs are independent and their checkpoints are keyed by fingerprint,
so an engine (Dask) may bring every one to its last epoch in parallel, and a serial `dvc repro`
afterwards writes models, metrics and dvc.lock exactly as if it had trained them itself.
"""

import logging
import os

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.workflow.dvc_command import run_dvc
from pipeline.workflow.lock_repair import repair_dvc_lock
from pipeline.workflow.own_folder import folder_changes
from pipeline.workflow.parallel import check_scheduler, train_in_parallel
from pipeline.workflow.plan import plan
from pipeline.workflow.repository import require_clone, tell_dvc_of_git
from pipeline.workflow.resources import choose_num_jobs

logger = logging.getLogger(__name__)


def repro(paths: Paths, jobs: int | None = None, scheduler: str | None = None) -> dict[str, str]:
    """Run `dvc repro` with its trainings done by `jobs` processes or a Dask cluster, and `sync`.

    `jobs` None: as many as the cores and the memory allow. Returns the reasons of runs that failed:
    a failing one leaves the others running, and what does not need it is completed. One that failed
    beside others, and not when DVC trained it alone, is no failure. Raises UserError if dvc itself
    fails, or has nothing to work on.
    """
    config = load_config(paths.params)
    require_clone(paths)
    tell_dvc_of_git(paths)
    repair_dvc_lock(paths)
    if scheduler is not None:
        check_scheduler(scheduler)
    # Dask changes this process's environment (OMP_NUM_THREADS): DVC's stages must not see that.
    environment = dict(os.environ)
    run_dvc(paths.root, "repro", "fetch")
    if reason := folder_changes(config, paths):
        logger.info("%s: it is read again", reason)
        run_dvc(paths.root, "repro", "--force", "--single-item", "fetch")
    runs = stale_runs(paths, config)
    reasons = {}
    if runs:
        jobs = jobs or choose_num_jobs(len(runs))
        logger.info("Training %d runs, %s at once", len(runs), _at_once(jobs, scheduler))
        reasons = train_in_parallel(paths, runs, jobs, scheduler)
    failed = complete(paths, config, reasons, environment)
    # The report names each run's id in MLflow, also of a run whose files came from the run cache.
    sync_mlflow(config, paths)
    if not failed:
        run_dvc(paths.root, "repro", environment=environment)
    return failed


def _at_once(jobs: int, scheduler: str | None) -> str:
    return f"as many as {scheduler} has workers" if scheduler else str(jobs)


def complete(
    paths: Paths, config: Config, reasons: dict[str, str], environment: dict[str, str]
) -> dict[str, str]:
    """Let DVC save and measure every run, and train alone those that were not trained ahead.

    `reasons` says why they were not; returned are those of the runs that DVC could not train, too.
    """
    for name, reason in reasons.items():
        logger.warning("%s: %s; it is tried again, alone", name, reason)
    # What failed by itself fails again in DVC, at the same epoch, and all else is completed.
    keep_going = ["--keep-going"] if reasons else []
    arguments = ("repro", *keep_going, "evaluate")
    status = run_dvc(paths.root, *arguments, environment=environment, check=not reasons)
    if not status:
        return {}
    still = stale_runs(paths, config)
    failed = {name: reason for name, reason in reasons.items() if name in still}
    if not failed:
        raise UserError(f"dvc {' '.join(arguments)} failed; see above")
    return failed


def require_success(failed: dict[str, str], again: str) -> None:
    """Log why each run failed; raise UserError if any did. `again` is the command that goes on."""
    for name, reason in failed.items():
        logger.error("%s failed: %s", name, reason)
    if failed:
        noun = "run" if len(failed) == 1 else "runs"
        raise UserError(
            f"{len(failed)} {noun} failed; everything that does not need them is complete, and "
            f"`{again}` goes on"
        )


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


def stale_runs(paths: Paths, config: Config) -> list[str]:
    """List the runs that `dvc repro` would train now, without what its run cache holds."""
    # `dvc repro --dry` does not look into the run cache.
    stale = {status.stage for status in plan(config, paths) if status.state == "stale"}
    # A run of several processes fills the machine by itself: DVC trains it.
    single = [run for run in config.runs if run.train.world_size == 1]
    return [run.name for run in single if f"train@{run.name}" in stale]
