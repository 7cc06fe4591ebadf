"""A training mirrored to real stores: one run a fingerprint, each epoch once, outages harmless."""

import contextlib
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT
from filelock import FileLock
from mlflow import MlflowClient

from pipeline.config.grid import Config, flatten_dict
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.tracking import live_logger
from pipeline.tracking.client import create_store, get_client, search_training_runs
from pipeline.tracking.live_logger import mirror_training
from pipeline.tracking.store import HTTP_LIMITS

EPOCHS = [{"epoch": n, "train_loss": 1.0 / n, "train_kl": 0.5, "val_kl": 0.5} for n in (1, 2, 3)]


@pytest.fixture
def record(params: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return RunRecord(params.runs[0], "f" * 32, "d" * 64, "test", Paths(tmp_path))


@pytest.fixture(autouse=True)
def no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A thread that a training did not wait for ends before the next test has another store."""
    yield
    for thread in threading.enumerate():
        if thread.name.endswith("(_worker)"):
            thread.join(60)


def only_run(record: RunRecord):  # mlflow's Run, imported lazily everywhere
    client = get_client(record.paths)
    (run,) = search_training_runs(client, "test")
    return client, run


def steps(client: MlflowClient, run_id: str) -> list[int]:
    return [metric.step for metric in client.get_metric_history(run_id, "train_loss")]


def test_a_training_is_a_finished_run_with_every_epoch(record: RunRecord) -> None:
    with mirror_training(record, []) as log:
        for epoch in EPOCHS:
            log(epoch | {"images_per_second": 1000.0})
    client, run = only_run(record)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "original-64-0"
    assert steps(client, run.info.run_id) == [1, 2, 3]
    assert run.data.metrics["images_per_second"] == 1000
    assert run.data.params["loss.likelihood"] == "bernoulli"
    assert run.data.params["latent_dim"] == "64"
    assert run.data.tags["dvc_stage"] == "train@original-64-0"
    assert run.data.tags["dataset_sha256"] == "d" * 64
    assert run.data.tags["git_dirty"] in ("true", "false")
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert next(iter(run.data.metrics)) == "val_kl", "the UI's comparisons open on the headline"
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 0
    assert (record.paths.root / "mlflow.db").exists()


def test_a_resumed_and_a_forced_run_write_to_the_same_run_each_epoch_once(
    record: RunRecord,
) -> None:
    def interrupted() -> None:
        with mirror_training(record, []) as log:
            log(EPOCHS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert only_run(record)[1].info.status == "KILLED"
    # The second epoch was on the disk, but not yet in the store, when the process died.
    for _ in range(2):
        with mirror_training(record, EPOCHS[:2]) as log:
            log(EPOCHS[2])
        client, run = only_run(record)
        assert run.info.status == "FINISHED"
        assert steps(client, run.info.run_id) == [1, 2, 3]


@pytest.mark.slow
def test_a_short_training_loses_nothing_to_a_store_that_takes_long_to_be_made(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    making = FileLock(f"{record.paths.tracking_database}.lock", thread_local=False)
    making.acquire()
    # As long as MLflow has been seen to need for a new database on a busy machine.
    made = threading.Timer(28, making.release)
    made.start()
    with mirror_training(record, []) as log:
        for epoch in EPOCHS:
            log(epoch)
    assert made.finished.is_set(), "it was waited for"
    client, run = only_run(record)
    assert steps(client, run.info.run_id) == [1, 2, 3]
    assert run.info.status == "FINISHED"
    assert caplog.text == ""


def test_trainings_side_by_side_find_a_store_that_was_made_before_them(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create_store(record.paths)
    database = record.paths.tracking_database
    made = database.stat().st_ino
    create_store(record.paths)
    with mirror_training(record, []) as log:
        log(EPOCHS[0])
    assert database.stat().st_ino == made
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    create_store(record.paths)
    assert caplog.text.count("MLflow could not be written") == 1


def test_another_fingerprint_is_another_run(record: RunRecord) -> None:
    for fingerprint in ("a" * 32, "b" * 32):
        with mirror_training(
            record.__class__(**vars(record) | {"fingerprint": fingerprint}), []
        ) as log:
            log(EPOCHS[0])
    client = get_client(record.paths)
    assert len(search_training_runs(client, "test")) == 2


def test_a_failing_training_is_a_failed_run_and_its_error_goes_on(record: RunRecord) -> None:
    with pytest.raises(ZeroDivisionError), mirror_training(record, []):
        raise ZeroDivisionError
    assert only_run(record)[1].info.status == "FAILED"


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "nonsense://x"]
)
def test_a_tracker_that_cannot_be_reached_is_said_once_and_stops_nothing(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setitem(HTTP_LIMITS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with mirror_training(record, []) as log:
        for epoch in EPOCHS:
            log(epoch)
    assert caplog.text.count("MLflow could not be written") == 1


def test_a_store_of_rubbish_stops_nothing(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    (record.paths.root / "mlflow.db").write_bytes(b"not a database" * 100)
    with mirror_training(record, []) as log:
        log(EPOCHS[0])
    assert "MLflow could not be written" in caplog.text
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(record.paths.root / "mlflow.db").execute("select 1 from runs")


class Misbehaving(BaseHTTPRequestHandler):
    """A tracking server that refuses, breaks, or takes its time."""

    status, delay = 403, 0.0

    def answer(self) -> None:
        time.sleep(self.delay)
        with contextlib.suppress(OSError):
            self.send_error(self.status)

    do_GET = do_POST = answer  # noqa: N815  # http.server's names

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def misbehaving() -> Iterator[tuple[type[Misbehaving], str]]:
    handler = type("Handler", (Misbehaving,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("status", "delay"), [(403, 0.0), (500, 0.0), (200, 0.0), (500, 3.0)])
def test_a_server_that_refuses_breaks_lies_or_dawdles_never_makes_a_step_wait(
    record: RunRecord,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    misbehaving: tuple,
    status: int,
    delay: float,
) -> None:
    handler, uri = misbehaving
    handler.status, handler.delay = status, delay
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setitem(HTTP_LIMITS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(live_logger, "FLUSH_TIMEOUT", 1.0)
    slowest = 0.0
    with mirror_training(record, []) as log:
        for epoch in EPOCHS * 100:
            before = time.perf_counter()
            log(epoch)
            slowest = max(slowest, time.perf_counter() - before)
    assert slowest < 0.5, "handing an epoch over is a queue's put, whatever the server does"
    assert caplog.text.count("MLflow could not be written") == 1


def test_a_locked_database_is_said_and_stops_nothing(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    with mirror_training(record, []) as log:
        log(EPOCHS[0])
    database = sqlite3.connect(record.paths.root / "mlflow.db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(live_logger, "FLUSH_TIMEOUT", 1.0)
            with mirror_training(record, EPOCHS[:1]) as log:
                log(EPOCHS[1])
        assert "MLflow could not be written" in caplog.text
    finally:
        database.execute("ROLLBACK")
        database.close()


def test_nested_parameters_become_dotted() -> None:
    assert flatten_dict({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}


@pytest.mark.slow
def test_a_full_disk_under_the_store_is_said_and_sync_adds_the_rest(
    record: RunRecord,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    ).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk / 'mlflow.db'}")
        with mirror_training(record, []) as log:
            log(EPOCHS[0])
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with mirror_training(record, []) as log:
            for epoch in range(2, 400):
                log({"epoch": epoch, "train_loss": 0.5} | {f"metric_{n}": 1.0 for n in range(40)})
        assert caplog.text.count("MLflow could not be written") == 1
        filler.unlink()
        with mirror_training(record, EPOCHS) as log:
            pass
        client, run = only_run(record)
        assert set(range(1, 4)) <= set(steps(client, run.info.run_id))
        assert run.info.status == "FINISHED"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
