"""A real MLflow server over HTTP: used as a store, killed during a training, back for `sync`."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import free_port, mlflow_server, stop, wait_until

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.run_record import load_run_record
from pipeline.tracking.client import get_client, logged_epochs, search_training_runs
from pipeline.tracking.live_logger import mirror_training
from pipeline.tracking.store import HTTP_LIMITS
from pipeline.tracking.sync import sync

pytestmark = pytest.mark.slow


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """A function that starts the server on one port and one database, again if need be."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    running: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        running.append(
            mlflow_server(port, f"sqlite:///{tmp_path / 'server.db'}", str(tmp_path / "store"), {})
        )
        return running[-1]

    yield start
    for process in running:
        stop(process)


def test_a_server_that_dies_halfway_gets_the_rest_from_sync(
    study: tuple[Config, Paths],
    server: Callable,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params, paths = study
    monkeypatch.setitem(HTTP_LIMITS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    first = server()
    record = load_run_record("original-2-0", params.tracking.experiment, paths)

    def epochs() -> list[int]:
        client = get_client(paths)
        runs = search_training_runs(client, params.tracking.experiment)
        ids = [run.info.run_id for run in runs if run.info.run_name == "original-2-0"]
        return sorted(logged_epochs(client, ids[0])) if ids else []

    with mirror_training(record, []) as log:
        log({"epoch": 1, "train_loss": 0.7})
        wait_until(lambda: epochs() == [1])
        stop(first)
        log({"epoch": 2, "train_loss": 0.6})
    assert caplog.text.count("MLflow could not be written") == 1

    server()
    added = sync(params, paths).added
    assert epochs() == [1, 2]
    assert min(added.values()) > 5
    assert set(sync(params, paths).added.values()) == {0}
    client = get_client(paths)
    for run in search_training_runs(client, params.tracking.experiment):
        assert run.info.status == "FINISHED"
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        local = client.download_artifacts(run.info.run_id, "model/model.json", str(paths.root))
        assert (
            Path(local).read_text() == (paths.model(run.info.run_name) / "model.json").read_text()
        )
