"""MLflow on PostgreSQL and S3, by environment variables alone; many writers to one SQLite."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment
from servers import CREDENTIALS, free_port, initdb, mlflow_server, postgres_server, s3_server, stop
from tracked_runs import empty_database

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.run_record import load_run_record
from pipeline.tracking.client import get_client, logged_epochs, search_training_runs
from pipeline.tracking.live_logger import mirror_training
from pipeline.tracking.sync import find_drift, sync

pytestmark = [pytest.mark.slow, pytest.mark.long]
NEEDED = {"postgresql": initdb(), "moto": find_spec("moto"), "psycopg2": find_spec("psycopg2")}
ABSENT = ", ".join(name for name, found in NEEDED.items() if not found)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PostgreSQL, S3, and MLflow before both; only MLFLOW_TRACKING_URI tells this process."""
    import boto3

    ports = {name: free_port() for name in ("postgres", "s3", "mlflow")}
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    running = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            running.append(postgres_server(Path(folder), ports["postgres"]))
            running.append(s3_server(ports["s3"]))
            for name, value in CREDENTIALS.items():
                monkeypatch.setenv(name, value)
            boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="mlflow")
            backend = f"postgresql+psycopg2://postgres@127.0.0.1:{ports['postgres']}/postgres"
            environment = CREDENTIALS | {"MLFLOW_S3_ENDPOINT_URL": endpoint}
            running.append(mlflow_server(ports["mlflow"], backend, "s3://mlflow/runs", environment))
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{ports['mlflow']}")
            yield
        finally:
            for process in reversed(running):
                stop(process)


@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {ABSENT}")
def test_the_same_code_against_postgresql_and_s3(
    study: tuple[Config, Paths], servers: None
) -> None:
    params, paths = study
    record = load_run_record("original-2-0", params.tracking.experiment, paths)
    with mirror_training(record, []) as log:
        log({"epoch": 1, "train_loss": 0.7})
    synced = sync(params, paths)
    assert min(synced.added.values()) > 5
    assert synced.champion == "pca_refined-2-0"
    assert find_drift(params, paths) == []
    assert set(sync(params, paths).added.values()) == {0}
    client = get_client(paths)
    for run in search_training_runs(client, params.tracking.experiment):
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        local = client.download_artifacts(
            run.info.run_id, "model/weights.safetensors", str(paths.root)
        )
        expected = paths.model(run.info.run_name) / "weights.safetensors"
        assert Path(local).read_bytes() == expected.read_bytes()
    own = (paths.root / "mlflow.db").read_bytes()
    assert own == empty_database().read_bytes(), "nothing was written to the clone's own store"


WRITER = """
import sys
from pathlib import Path
from pipeline import start_logging
from pipeline.config.paths import Paths
from pipeline.config.loader import load_config
from pipeline.config.run_record import RunRecord
from pipeline.tracking import live_logger
from pipeline.tracking.live_logger import mirror_training
live_logger.FLUSH_TIMEOUT = 120.0  # four starts of MLflow at once
start_logging()
root = Path(sys.argv[1])
run = load_config(root / "params.yaml").runs[int(sys.argv[2])]
record = RunRecord(run, sys.argv[2] * 32, "d" * 64, "busy", Paths(root))
with mirror_training(record, []) as log:
    for epoch in range(1, 31):
        log({"epoch": epoch, "train_loss": 1.0 / epoch})
"""


def test_several_processes_logging_at_once_to_a_new_sqlite_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    commands = [[sys.executable, "-c", WRITER, str(tmp_path), str(index)] for index in range(4)]
    writers = [
        subprocess.Popen(c, env=environment, stdout=subprocess.PIPE, text=True) for c in commands
    ]
    assert [writer.communicate()[0] for writer in writers] == [""] * 4, "no outage was said"
    client = get_client(Paths(tmp_path))
    runs = search_training_runs(client, "busy")
    assert len(runs) == 4
    assert all("mlflow.parentRunId" not in run.data.tags for run in runs), "they lie flat"
    for run in runs:
        assert run.info.status == "FINISHED"
        assert logged_epochs(client, run.info.run_id) == set(range(1, 31))
