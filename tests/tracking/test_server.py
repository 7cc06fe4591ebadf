"""A real MLflow server over HTTP: used as a store, killed in the middle of a training, back for `sync`."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.params import Params
from pipeline.paths import Paths
from pipeline.tracking import live, store
from pipeline.tracking.files import identity_of
from pipeline.tracking.live import training_run
from pipeline.tracking.sync import sync

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """A function that starts the server on one port and one database, again if need be."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    running: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            f"sqlite:///{tmp_path / 'server.db'}",
        ]
        command += ["--artifacts-destination", str(tmp_path / "store"), "--host", "127.0.0.1", "--port", str(port)]
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        process = subprocess.Popen(
            [*command, "--workers", "1"], env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip  # what runs, then its streams
        running.append(process)
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        return process

    yield start
    for process in running:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  # the server above
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the server did not get there in time"
        time.sleep(0.2)


def test_a_server_that_dies_halfway_gets_the_rest_from_sync(
    study: tuple[Params, Paths], server: Callable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    params, paths = study
    monkeypatch.setitem(store.PATIENCE, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(live, "GRACE_SECONDS", 30.0)
    first = server()
    identity = identity_of("reference-2-0", params.tracking.experiment, paths)

    def epochs() -> list[int]:
        client = store.connect(paths)
        found = [run for run in store.trainings(client, params.tracking.experiment)
                 if run.info.run_name == "reference-2-0"]  # fmt: skip  # one list
        return sorted(store.logged_epochs(client, found[0].info.run_id)) if found else []

    with training_run(identity, []) as log:
        log({"epoch": 1, "train_total_loss": 0.7})
        wait_until(lambda: epochs() == [1])
        stop(first)
        log({"epoch": 2, "train_total_loss": 0.6})
    assert capsys.readouterr().out.count("MLflow could not be written") == 1

    server()
    added = sync(params, paths).added
    assert epochs() == [1, 2]
    assert min(added.values()) > 5
    assert set(sync(params, paths).added.values()) == {0}
    client = store.connect(paths)
    for run in store.trainings(client, params.tracking.experiment):
        assert run.info.status == "FINISHED"
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        local = client.download_artifacts(run.info.run_id, "model/model.json", str(paths.root))
        assert Path(local).read_text() == (paths.model(run.info.run_name) / "model.json").read_text()
