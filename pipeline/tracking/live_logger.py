"""Mirror a training to MLflow while it goes on, without ever making it wait."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.config.run_record import RunRecord
from pipeline.tracking.client import (
    get_or_create_run,
    log_metrics,
    logged_epochs,
    warn_unavailable,
)
from pipeline.tracking.store import store_uri

# How long a finished training waits for a slow tracker before it leaves the rest to `sync`: longer
# than a busy machine needs to make a new store, which is half a minute.
FLUSH_TIMEOUT = 60.0

Log = Callable[[dict[str, float]], None]
Epochs = queue.SimpleQueue[dict[str, float] | str]


@contextmanager
def mirror_training(record: RunRecord, history: list[dict[str, float]]) -> Iterator[Log]:
    """Mirror a training: yield a function that hands an epoch's metrics over and returns at once.

    A thread of its own talks to MLflow, first replaying the epochs of `history` that the store
    lacks. What it cannot deliver is said once; training goes on. On leaving, the run becomes
    FINISHED, FAILED or KILLED.
    """
    epochs: Epochs = queue.SimpleQueue()
    for metrics in history:
        epochs.put(metrics)
    thread = threading.Thread(target=_worker, args=(record, epochs), daemon=True)
    thread.start()
    status = "FAILED"
    try:
        yield epochs.put
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        epochs.put(status)
        thread.join(FLUSH_TIMEOUT)
        if thread.is_alive():
            late = f"it is still busy {FLUSH_TIMEOUT:.0f} s after the training"
            warn_unavailable(TimeoutError(late))


@contextmanager
def _system_metrics(run_id: str, uri: str) -> Iterator[None]:
    """Run MLflow's own monitor of processor, memory, disk, network and GPU, every ten seconds."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # Its complaints about a server that is away say again what warn_unavailable says once.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.collect_metrics()
        monitor.publish_metrics(monitor.aggregate_metrics())
        monitor.finish()


def _worker(record: RunRecord, epochs: Epochs) -> None:
    try:
        client, run_id = get_or_create_run(record)
        # A forced rerun of the same fingerprint gives the same metrics: each epoch is logged once.
        logged = logged_epochs(client, run_id)

        def deliver(item: dict[str, float] | str) -> None:
            if not isinstance(item, str) and item["epoch"] not in logged:
                log_metrics(client, run_id, item, step=int(item["epoch"]))

        item = epochs.get()
        deliver(item)
        # Only now: the UI's comparisons show first what was logged first.
        with _system_metrics(run_id, store_uri(record.paths)):
            while not isinstance(item, str):
                item = epochs.get()
                deliver(item)
        client.set_terminated(run_id, item)
    # Whatever the tracker throws (its own errors, SQL, sockets, a full disk) must not reach the
    # training.
    except Exception as error:
        warn_unavailable(error)
