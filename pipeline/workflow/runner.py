"""Train the grid's cells side by side, ahead of DVC: it then finds each training finished in .runs/ and only saves it.

DVC runs one stage at a time. Cells are independent and their states are keyed by fingerprint, so an engine (Dask) may
bring every state to its last epoch in parallel, and a serial `dvc repro` afterwards writes models, metrics and
dvc.lock exactly as if it had trained them itself.
"""

import logging
import os
import subprocess
from contextlib import nullcontext
from pathlib import Path

from rich.progress import Progress, TaskID

from pipeline import UserError, first_line
from pipeline.workflow.plan import plan
from pipeline.config.schema import Config
from pipeline.config.loader import load_config
from pipeline.storage.yaml_io import read_yaml
from pipeline.config.paths import Paths

TOPIC = "vae-epochs"


def repro(paths: Paths, jobs: int, scheduler: str | None) -> dict[str, str]:
    """`dvc repro` with its trainings done by `jobs` processes, or by a Dask cluster, and a `sync`; errors by run.

    A failing cell leaves the others running; what does not need it is completed. UserError if dvc itself fails.
    """
    params = load_config(paths.params)
    repair_dvc_lock(paths)
    # Dask changes this process's environment (OMP_NUM_THREADS): DVC's stages must not see that.
    environment = dict(os.environ)
    _dvc(paths, "repro", "fetch")
    runs = stale_runs(paths, params)
    errors = train_in_parallel(paths, runs, jobs, scheduler) if runs else {}
    # What failed once fails again in DVC, at the same epoch, and everything else is completed.
    keep_going = ["--keep-going"] if errors else []
    _dvc(paths, "repro", *keep_going, "evaluate", environment=environment, check=not errors)
    # The report names each run's id in MLflow, also of a run whose files came from DVC's run cache.
    sync_mlflow(params, paths)
    if not errors:
        _dvc(paths, "repro", environment=environment)
    return errors


def sync_mlflow(params: Config, paths: Paths) -> None:
    """`sync`, whose failure is the tracker's and not the study's."""
    from pipeline.tracking.sync import sync

    try:
        champion = sync(params, paths).champion
        print(f"MLflow shows this study; champion: {champion or 'none, no run qualifies'}", flush=True)
    except UserError as error:
        print(f"{error}; the files are complete, and `python -m pipeline sync` tries again", flush=True)


def repair_dvc_lock(paths: Paths) -> None:
    """Remove a torn dvc.lock: DVC writes it in place, so a kill in that instant leaves it empty or cut off.

    Nothing is lost: DVC's run cache has the outputs of every stage that was finished, and writes the entries again.
    """
    lock = paths.dvc_lock
    try:
        whole = not lock.exists() or {"schema", "stages"} <= read_yaml(lock).keys()
    except UserError:
        whole = False
    if not whole:
        lock.unlink()
        print(f"{lock} was torn by a kill and is written anew; finished stages come from DVC's run cache", flush=True)


def stale_runs(paths: Paths, params: Config) -> list[str]:
    """The runs that `dvc repro` would train now; what its run cache holds is not among them."""
    # `dvc repro --dry` does not look into the run cache.
    stale = {step.stage for step in plan(params, paths) if step.state == "runs"}
    # A run of several processes fills the machine by itself: DVC trains it.
    return [run.name for run in params.runs if f"train@{run.name}" in stale and run.recipe.train.processes == 1]


def train_in_parallel(paths: Paths, runs: list[str], jobs: int, scheduler: str | None) -> dict[str, str]:
    """Bring the state of every cell to its last epoch; returns the errors of those that failed, by run."""
    from distributed import Client, LocalCluster, as_completed

    here = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.ERROR}
    cluster = nullcontext(scheduler) if scheduler else LocalCluster(n_workers=min(jobs, len(runs)), **here)
    with cluster as workers, Client(workers) as client, Progress() as screen:
        bars = {name: screen.add_task(name, total=None) for name in runs}
        client.subscribe_topic(TOPIC, lambda event: update_progress(screen, bars, *event[1]))
        futures = {client.submit(train_run, name, str(paths.root.resolve()), key=name): name for name in runs}
        errors = {}
        for future in as_completed(futures):
            if error := future.exception():
                errors[futures[future]] = first_line(error)
    return errors


def update_progress(screen: Progress, bars: dict[str, TaskID], name: str, epoch: int, total: int) -> None:
    screen.update(bars[name], completed=epoch, total=total)


def train_run(name: str, root: str) -> None:
    """In a worker process: train one cell in the workspace `root`, and report each epoch to whoever listens."""
    from distributed import get_worker

    from pipeline.stages.train import train_in_parallel as train

    paths = Paths(Path(root))
    params, worker = load_config(paths.params), get_worker()
    run = params.run(name)
    total = run.recipe.train.epochs
    train(run, params, paths, lambda epoch: worker.log_event(TOPIC, (name, int(epoch.metrics["epoch"]), total)))


def _dvc(paths: Paths, *arguments: str, environment: dict[str, str] | None = None, check: bool = True) -> None:
    done = subprocess.run(["dvc", *arguments], cwd=paths.root, env=environment)
    if check and done.returncode:
        raise UserError(f"dvc {' '.join(arguments)} failed; see above")
