"""Trainings on the workers of a Dask scheduler, ahead of DVC, which then finds each finished.

Workers on other nodes cannot run DVC's stages: its lock holds on one node. Checkpoints are keyed by
fingerprint, so whoever trained a run, the stage `train` here saves it.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

from pipeline import UserError, first_line
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.workflow.parallel import TOPIC, Failure, explain
from pipeline.workflow.progress import StagesProgress
from pipeline.workflow.worker_check import (
    check_workers,
    describe,
    digest,
    find_difference,
    import_from,
)

CONNECT_SECONDS = 10
# How often it is looked whether there are workers at all.
LOOK_SECONDS = 20
logger = logging.getLogger(__name__)


def train_on_cluster(paths: Paths, runs: list[str], scheduler: str) -> dict[str, Failure]:
    """Bring every run's checkpoint to its last epoch; returns the stages for which that failed.

    Raises UserError if the scheduler is not there, or goes away.
    """
    root = str(paths.root.resolve())
    failures = {}
    with connect(scheduler) as client, StagesProgress(len(runs)) as progress:
        here = describe(root)
        _while_connected(client, lambda: check_workers(client, root, here), scheduler)
        client.subscribe_topic(topic_of(root), lambda event: progress.line(*event[1]))
        # The scheduler may train another clone's run of that name, too.
        stages = {f"{topic_of(root)}-{name}": f"train@{name}" for name in runs}
        tasks = zip(stages, (_task(name, root, here) for name in runs), strict=True)
        futures = {client.submit(task, key=key, pure=False) for key, task in tasks}
        for future in _as_finished(client, futures, scheduler):
            stage = stages[future.key]
            if future.status == "finished":
                progress.done(stage, future.result())
            else:
                failures[stage] = explain(future.exception())
                progress.failed(stage, failures[stage].reason)
    return failures


def topic_of(root: str) -> str:
    """Name what the workers say of the study in this folder, and nobody else's."""
    return f"{TOPIC}-{digest(root.encode())}"


def _as_finished(client: Any, pending: set[Any], scheduler: str) -> Iterator[Any]:
    """Yield futures as they finish. UserError if the scheduler goes; its workers may come back."""
    from distributed import CancelledError, wait

    had_workers = True
    while pending:
        try:
            finished, pending = wait(pending, LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except CancelledError:
            raise UserError(_gone(scheduler)) from None
        except TimeoutError:
            has_workers = bool(client.scheduler_info(n_workers=-1)["workers"])
            if had_workers and not has_workers:
                logger.warning("%s has no workers now; waiting for some", scheduler)
            had_workers = has_workers
            continue
        yield from finished


def check_scheduler(address: str) -> None:
    """Raise UserError unless a Dask scheduler answers at the address."""
    with connect(address):
        pass


def connect(address: str) -> Any:
    """Return a client of the scheduler at the address; UserError if none answers there."""
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


def _gone(scheduler: str) -> str:
    return (
        f"the Dask scheduler {scheduler} went away while runs were trained; their checkpoints are "
        "kept: run the same command again, and each goes on from its last epoch"
    )


def _task(name: str, root: str, here: dict[str, str]) -> Callable[[], float]:
    """Return what a worker does; sent by value, since a worker may not know this package yet."""
    find = import_from(root)

    def task() -> float:
        find()
        from pipeline.workflow.cluster import train_run

        return train_run(name, root, here)

    return task


def train_run(name: str, root: str, here: dict[str, str]) -> float:
    """In a worker: train one run in the workspace `root`, and report each epoch to who listens.

    Returns how many seconds it took. Raises UserError if the worker, which may have joined late,
    would train something else than `here`, which `describe` gave there.
    """

    from distributed import get_worker

    from pipeline.workflow.train_run import format_epoch, train_to_last_checkpoint

    paths, start = Paths(Path(root)), time.monotonic()
    config, worker = load_config(paths.params), get_worker()
    if difference := find_difference(describe(root), here, root):
        raise UserError(f"worker {worker.address}: {difference}")
    run = config.run(name)
    train_to_last_checkpoint(
        run,
        config,
        paths,
        lambda epoch: worker.log_event(topic_of(root), (name, format_epoch(run, epoch))),
    )
    return time.monotonic() - start
