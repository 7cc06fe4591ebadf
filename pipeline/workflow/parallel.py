"""Trainings side by side by Dask: workers of this machine, or those of a scheduler's address."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from pipeline import UserError, first_line, is_out_of_memory
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.workflow.progress import RunsProgress
from pipeline.workflow.worker_check import check_workers, import_from

TOPIC = "vae-epochs"
CONNECT_SECONDS = 10
# How many processes may die of one run before it is left to DVC, which trains it alone.
DEATHS_ALLOWED = 1
# How often it is looked whether there are workers at all, and how often there may be none.
LOOK_SECONDS = 20
LOOKS_ALLOWED = 3
NO_WORKERS = "no process that trains beside others stays alive, most likely because memory ran out"
logger = logging.getLogger(__name__)


def train_in_parallel(
    paths: Paths, runs: list[str], jobs: int, scheduler: str | None
) -> dict[str, str]:
    """Bring every run's checkpoint to its last epoch; returns the reasons of those that were not.

    Raises UserError if the scheduler is not there, or goes away.
    """
    root = str(paths.root.resolve())
    reasons = {}
    with _client(min(jobs, len(runs)), scheduler) as client, RunsProgress(runs) as progress:
        if scheduler is not None:
            _while_connected(client, lambda: check_workers(client, root), scheduler)
        client.subscribe_topic(TOPIC, lambda event: progress.update(*event[1]))
        futures = {client.submit(_task(name, root), key=name, pure=False): name for name in runs}
        for future in _as_finished(client, set(futures), scheduler):
            if future.done() and (error := future.exception()):
                reasons[futures[future]] = explain(error)
            elif not future.done():
                reasons[futures[future]] = NO_WORKERS
    return reasons


def _as_finished(client: Any, pending: set[Any], scheduler: str | None) -> Iterator[Any]:
    """Yield futures as they finish; unfinished ones where no worker of this machine stays alive.

    Workers that die while they start run no task, which then is nobody's failure: Dask would wait
    for ever. UserError if the scheduler goes away; its workers may come back.
    """
    from distributed import CancelledError, wait

    looks_without = 0
    while pending:
        try:
            finished, pending = wait(pending, LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except CancelledError:
            raise UserError(_gone(scheduler)) from None
        except TimeoutError:
            workers = client.scheduler_info(n_workers=-1)["workers"]
            looks_without = 0 if workers else looks_without + 1
            if scheduler is None and looks_without > LOOKS_ALLOWED:
                yield from pending
                return
            if scheduler is not None and looks_without == 1:
                logger.warning("%s has no workers now; waiting for some", scheduler)
            continue
        yield from finished


def check_scheduler(address: str) -> None:
    """Raise UserError unless a Dask scheduler answers at the address."""
    with _connect(address):
        pass


@contextmanager
def _client(num_workers: int, scheduler: str | None) -> Iterator[Any]:
    """Connect to the scheduler, or to workers of this machine that are started for it."""
    if scheduler is not None:
        with _connect(scheduler) as client:
            yield client
        return
    import dask
    from distributed import Client, LocalCluster

    # Dask would kill a worker at its share of the memory, however much the machine has left.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS_ALLOWED}),
        LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            memory_limit=0,
            # Any free port: None would still take 8787, and say so where another has it.
            dashboard_address=":0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _connect(address: str) -> Any:
    from distributed import Client

    # Pages of traceback beside the one line that is said here.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=CONNECT_SECONDS)
    # What an address may do wrong is raised as one of many kinds.
    except Exception as error:
        raise UserError(
            f"--scheduler {address}: no Dask scheduler answers there within {CONNECT_SECONDS} s "
            f"({first_line(error)[:150]}); start `dask scheduler`, or leave --scheduler out to "
            "train on this machine"
        ) from None


def _while_connected(client: Any, call: Callable[[], None], scheduler: str) -> None:
    """Do what waits for ever where the scheduler dies meanwhile; UserError if it does."""
    problems: list[BaseException] = []

    def attempt() -> None:
        try:
            call()
        except BaseException as error:
            problems.append(error)

    # Nobody joins it where it hangs.
    waiting = Thread(target=attempt, daemon=True)
    waiting.start()
    while waiting.is_alive():
        waiting.join(1)
        if client.status != "running":
            raise UserError(_gone(scheduler))
    if problems:
        raise problems[0]


def _gone(scheduler: str | None) -> str:
    where = f"the Dask scheduler {scheduler}" if scheduler else "Dask's scheduler"
    return (
        f"{where} went away while runs were trained; their checkpoints are kept: run the same "
        "command again, and each goes on from its last epoch"
    )


def explain(error: BaseException) -> str:
    """Say in a line why a run was not trained by its worker."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return (
            f"its process was killed {error.allowed_failures + 1} times, most likely because "
            "memory ran out; close other programs, or train fewer runs at once (--jobs)"
        )
    if is_out_of_memory(error):
        return "out of memory beside the other runs; train fewer at once (--jobs)"
    return first_line(error)


def _task(name: str, root: str) -> Callable[[], None]:
    """Return what a worker does; sent by value, since a worker may not know this package yet."""
    find = import_from(root)

    def task() -> None:
        find()
        from pipeline.workflow.parallel import train_run

        train_run(name, root)

    return task


def train_run(name: str, root: str) -> None:
    """In a worker: train one run in the workspace `root`, and report each epoch to who listens."""
    from distributed import get_worker

    from pipeline.workflow.train_run import format_epoch, train_to_last_checkpoint

    paths = Paths(Path(root))
    config, worker = load_config(paths.params), get_worker()
    run = config.run(name)
    train_to_last_checkpoint(
        run,
        config,
        paths,
        lambda epoch: worker.log_event(
            TOPIC,
            (name, int(epoch.metrics["epoch"]), run.train.epochs, format_epoch(run, epoch)),
        ),
    )
