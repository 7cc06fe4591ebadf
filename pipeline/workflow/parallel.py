"""DVC's stages side by side on this machine, each as soon as what it needs is there.

`dvc repro` runs one stage at a time. Of siblings each may run in a `dvc repro --single-item` of its
own; Dask knows which is ready, and starts the longest kind first. Its workers are threads of this
process: all that they do is wait for DVC.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from pipeline import first_line, lacks_memory
from pipeline.config.paths import Paths
from pipeline.workflow.dvc_command import own_environment
from pipeline.workflow.plan import StageStatus
from pipeline.workflow.progress import StagesProgress

TOPIC = "vae-lines"
# How a stage says what a person can mend, and how Python says the rest.
ERROR, TRACEBACK = "error: ", "Traceback (most recent call last)"
# How long stages have to end by themselves after Ctrl-C.
STOP_SECONDS = 30
# By default Dask samples its own threads a hundred times a second: 5 % of a core that trains.
CALM = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"}
KILLED = "ended without a word, most likely because memory ran out"
MEMORY = "out of memory beside the others; run fewer at once (--jobs)"


class Failure(NamedTuple):
    """Why a stage failed, and whether it may succeed alone."""

    reason: str
    again: bool


class StageError(Exception):
    """A stage that failed; its text is the line that says why, or empty."""


def run_side_by_side(paths: Paths, stages: list[StageStatus], jobs: int) -> dict[str, Failure]:
    """Let DVC run the stages, given in its order, `jobs` at a time; returns those that failed.

    What needs one that failed is not run, and not among them. Interrupted, it ends what runs.
    """
    from distributed import as_completed

    failures: dict[str, Failure] = {}
    needs = {status.stage: status.needs for status in stages}
    with _threads(jobs) as client, StagesProgress(len(stages)) as progress:
        client.subscribe_topic(TOPIC, lambda event: progress.line(*event[1]))
        futures = _submit(client, stages, str(paths.root.resolve()))
        with _stop_when_interrupted(client, futures):
            for future in as_completed(futures.values()):
                name = future.key
                if future.status == "finished":
                    progress.done(name, future.result())
                # Dask fails what needs a failed one, too.
                elif all(
                    futures[other].status != "error" for other in needs[name] if other in futures
                ):
                    failures[name] = explain(future.exception())
                    progress.failed(name, failures[name].reason)
    return failures


def _submit(client: Any, stages: list[StageStatus], root: str) -> dict[str, Any]:
    """Hand all stages to Dask; returns the future of each."""
    futures: dict[str, Any] = {}
    for status in stages:
        name = status.stage
        needed = [futures[other] for other in status.needs if other in futures]
        # The longest kind first: what is short then fills the gaps at the end.
        priority = int(name.startswith("train@"))
        futures[name] = client.submit(
            run_stage, name, root, *needed, key=name, pure=False, priority=priority
        )
    return futures


def run_stage(stage: str, root: str, *needed: float) -> float:
    """Let DVC run one stage, and report the lines that it writes; returns how many seconds it took.

    Raises StageError if it fails.
    """
    from distributed import get_worker

    worker, start, lines = get_worker(), time.monotonic(), []
    command = ["dvc", "--wait-for-lock", "repro", "--quiet", "--single-item", stage]
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=root,
        env=own_environment() | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if not line.startswith(ERROR):
                worker.log_event(TOPIC, (stage, lines[-1]))
    if process.returncode:
        raise StageError(last_error(lines))
    return time.monotonic() - start


def last_error(lines: list[str]) -> str:
    """Find the line in which a stage said why it failed; empty if it did not come to that."""
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if not errors and any(line.startswith(TRACEBACK) for line in lines):
        return lines[-1]
    return errors[-1] if errors else ""


def explain(error: BaseException) -> Failure:
    """Say in a line why a stage failed. Where memory ran out, or may have, it may succeed alone."""
    from distributed import KilledWorker

    if lacks_memory(repr(error)):
        return Failure(MEMORY, again=True)
    if not str(error) or isinstance(error, KilledWorker):
        return Failure(KILLED, again=True)
    return Failure(first_line(error), again=False)


@contextmanager
def _threads(count: int) -> Iterator[Any]:
    """Start a scheduler with one worker of `count` threads in this process."""
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set(CALM),
        LocalCluster(
            n_workers=1,
            threads_per_worker=count,
            processes=False,
            memory_limit=0,
            # Any free port: None would still take 8787, and say so where another has it.
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _stop_when_interrupted(client: Any, futures: dict[str, Any]) -> Iterator[None]:
    """Where Ctrl-C comes, start nothing more, and end what runs as Ctrl-C in a terminal does."""
    import psutil

    try:
        yield
    except BaseException:
        client.cancel(list(futures.values()))
        children = psutil.Process().children(recursive=True)
        for process in children:
            # DVC then lets go of its locks by itself.
            with suppress(psutil.NoSuchProcess):
                if "pipeline.stages" in " ".join(process.cmdline()):
                    process.terminate()
        psutil.wait_procs(children, timeout=STOP_SECONDS)
        raise
