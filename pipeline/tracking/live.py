"""Mirror a training to MLflow while it goes on, without ever making it wait."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.tracking.store import Identity, log_metrics, logged_epochs, open_run, say_outage

# How long a finished training waits for a slow tracker before it leaves the rest to `sync`.
GRACE_SECONDS = 20.0

Log = Callable[[dict[str, float]], None]
Epochs = queue.SimpleQueue[dict[str, float] | str]


@contextmanager
def training_run(identity: Identity, history: list[dict[str, float]]) -> Iterator[Log]:
    """Mirror a training: yields a function that hands an epoch's metrics over and returns at once.

    A thread of its own talks to MLflow, first replaying the epochs of `history` that the store lacks. What it
    cannot deliver is said once; training goes on. On leaving, the run becomes FINISHED, FAILED or KILLED.
    """
    epochs: Epochs = queue.SimpleQueue()
    for metrics in history:
        epochs.put(metrics)
    thread = threading.Thread(target=_mirror, args=(identity, epochs), daemon=True)
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
        thread.join(GRACE_SECONDS)
        if thread.is_alive():
            say_outage(TimeoutError(f"it is still busy {GRACE_SECONDS:.0f} s after the training"))


def _mirror(identity: Identity, epochs: Epochs) -> None:
    try:
        client, run_id = open_run(identity)
        # A forced rerun of the same fingerprint gives the same metrics: each epoch is logged once.
        logged = logged_epochs(client, run_id)
        while not isinstance(item := epochs.get(), str):
            if item["epoch"] not in logged:
                log_metrics(client, run_id, item, step=int(item["epoch"]))
        client.set_terminated(run_id, item)
    # Whatever the tracker throws (its own errors, SQL, sockets, a full disk) must not reach the training.
    except Exception as error:
        say_outage(error)
