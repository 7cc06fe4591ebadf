"""`dvc repro` with independent stages side by side; the files are those of a serial one."""

import logging
from collections.abc import Collection

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.tracking.client import create_store
from pipeline.tracking.links import log_links
from pipeline.workflow.cluster import check_scheduler, train_on_cluster
from pipeline.workflow.dvc_command import run_dvc
from pipeline.workflow.own_folder import folder_changes
from pipeline.workflow.parallel import Failure, run_side_by_side
from pipeline.workflow.plan import StageStatus, count_cells, format_plan, plan
from pipeline.workflow.repair import repair
from pipeline.workflow.repository import require_clone, tell_dvc_of_git
from pipeline.workflow.resources import choose_num_jobs

# It reads what every other stage has made, and the ids of runs in MLflow, which `sync` completes.
LAST = "report"
logger = logging.getLogger(__name__)


def repro(paths: Paths, jobs: int | None = None, scheduler: str | None = None) -> dict[str, str]:
    """Run `dvc repro`, `jobs` stages at a time or with a Dask cluster's trainings, and `sync`.

    `jobs` None: as many as the cores and the memory allow. Returns the reasons of stages that
    failed: a failing one leaves the others running, and what does not need it is completed. One
    that failed for memory beside others, and not alone, is no failure. Raises UserError if dvc
    itself fails, or has nothing to work on.
    """
    config = load_config(paths.params)
    require_clone(paths)
    tell_dvc_of_git(paths)
    repair(paths)
    if scheduler is not None:
        check_scheduler(scheduler)
    run_dvc(paths.root, "repro", "fetch")
    if reason := folder_changes(config, paths):
        logger.info("%s: it is read again", reason)
        run_dvc(paths.root, "repro", "--force", "--single-item", "fetch")
    statuses = plan(config, paths)
    jobs = jobs or choose_num_jobs(count_cells(statuses))
    logger.info("%s", format_plan(statuses, jobs)[-1])
    stale = [status for status in statuses if status.state != "up_to_date"]
    stages = without({LAST, *multi_process_trainings(config)}, stale)
    create_store(paths)
    failures: dict[str, Failure] = {}
    if scheduler is not None:
        failures = train_ahead(paths, stages, scheduler)
    if able := without(failures, stages):
        logger.info("Running %d stages, %d at once", len(able), jobs)
        failures |= run_side_by_side(paths, able, jobs)
    done = {status.stage for status in without(failures, stages)}
    left = [status for status in without({LAST}, stale) if status.stage not in done]
    failed = complete(config, paths, left, failures)
    # The report names each run's id in MLflow, also of a run whose files came from the run cache.
    sync_mlflow(config, paths)
    if not failed:
        run_dvc(paths.root, "repro")
    log_links(paths)
    return failed


def multi_process_trainings(config: Config) -> set[str]:
    """List the trainings that fill the machine by themselves."""
    return {f"train@{run.name}" for run in config.runs if run.train.world_size > 1}


def without(names: Collection[str], statuses: list[StageStatus]) -> list[StageStatus]:
    """Leave out the stages of these names, and all that need them; `statuses` in DVC's order."""
    left_out: set[str] = set()
    kept = []
    for status in statuses:
        if status.stage in names or left_out.intersection(status.needs):
            left_out.add(status.stage)
        else:
            kept.append(status)
    return kept


def train_ahead(paths: Paths, stages: list[StageStatus], scheduler: str) -> dict[str, Failure]:
    """Train what is to be trained on a cluster's workers; returns the stages that failed there."""
    trainings = [status for status in stages if status.stage.startswith("train@")]
    # What DVC has in its run cache it takes from there.
    runs = [status.stage.partition("@")[2] for status in trainings if status.state == "stale"]
    if not runs:
        return {}
    logger.info("Training %d runs, as many at once as %s has workers", len(runs), scheduler)
    return train_on_cluster(paths, runs, scheduler)


def complete(
    config: Config, paths: Paths, left: list[StageStatus], failures: dict[str, Failure]
) -> dict[str, str]:
    """Let DVC run alone, one by one, what is left; returns the reasons of what failed for good.

    Stages for which memory may have run out are tried again, and what failed otherwise is not.
    """
    if again := [name for name, why in failures.items() if why.again]:
        logger.warning("Trying again, alone: %s", ", ".join(again))
    failed = {name: why.reason for name, why in failures.items() if not why.again}
    targets = [status.stage for status in without(failed, left)]
    if not targets or not run_dvc(paths.root, "repro", "--keep-going", *targets, check=False):
        return failed
    now = [status for status in plan(config, paths) if status.stage in targets]
    stale = {status.stage for status in now if status.state != "up_to_date"}
    # What needs another one that failed has not failed itself.
    for status in now:
        if status.stage in stale and not stale.intersection(status.needs):
            why = failures.get(status.stage)
            failed[status.stage] = why.reason if why else "see above"
    if not failed:
        raise UserError("dvc repro failed; see above")
    return failed


def require_success(failed: dict[str, str], again: str) -> None:
    """Log why each stage failed; UserError if any did. `again` is the command that goes on."""
    for name, reason in failed.items():
        logger.error("%s failed: %s", name, reason)
    if failed:
        noun = "stage" if len(failed) == 1 else "stages"
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
    none = "no run of params.yaml qualifies; what the registry has stays"
    logger.info("MLflow shows this study; champion: %s", champion or none)
