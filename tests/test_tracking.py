"""Against a real SQLite store: one run for each fingerprint, every epoch once, and no outage reaches the training."""

import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline import tracking
from pipeline.params import Params
from pipeline.paths import Paths

EPOCHS = [{"epoch": n, "train_total_loss": 1.0 / n, "train_kl": 0.5} for n in (1, 2, 3)]


@pytest.fixture
def identity(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tracking.Identity:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tracking.Identity(params.runs[0], "f" * 32, "cifar10", "d" * 64, "test", Paths(tmp_path))


def only_run(identity: tracking.Identity):  # mlflow's Run, imported lazily everywhere
    client = tracking.connect(identity.paths)
    (run,) = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    return client, run


def steps(client: MlflowClient, run_id: str) -> list[int]:
    return [metric.step for metric in client.get_metric_history(run_id, "train_total_loss")]


def test_a_training_is_a_finished_run_with_every_epoch(identity: tracking.Identity) -> None:
    with tracking.training_run(identity, []) as log:
        for epoch in EPOCHS:
            log(epoch | {"images_per_second": 1000.0})
    client, run = only_run(identity)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "reference-64-0"
    assert steps(client, run.info.run_id) == [1, 2, 3]
    assert run.data.metrics["images_per_second"] == 1000
    assert run.data.params["objective.likelihood"] == "bernoulli"
    assert run.data.params["latent_dim"] == "64"
    assert run.data.tags["dvc_stage"] == "train@reference-64-0"
    assert run.data.tags["dataset_sha256"] == "d" * 64
    assert run.data.tags["git_dirty"] in ("true", "false")
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert (identity.paths.root / "mlflow.db").exists()


def test_a_resumed_and_a_forced_run_write_to_the_same_run_each_epoch_once(identity: tracking.Identity) -> None:
    def interrupted() -> None:
        with tracking.training_run(identity, []) as log:
            log(EPOCHS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert only_run(identity)[1].info.status == "KILLED"
    # The second epoch was on the disk, but not yet in the store, when the process died.
    for _ in range(2):
        with tracking.training_run(identity, EPOCHS[:2]) as log:
            log(EPOCHS[2])
        client, run = only_run(identity)
        assert run.info.status == "FINISHED"
        assert steps(client, run.info.run_id) == [1, 2, 3]


def test_another_fingerprint_is_another_run(identity: tracking.Identity) -> None:
    for fingerprint in ("a" * 32, "b" * 32):
        with tracking.training_run(identity.__class__(**vars(identity) | {"fingerprint": fingerprint}), []) as log:
            log(EPOCHS[0])
    client = tracking.connect(identity.paths)
    assert len(client.search_runs([client.get_experiment_by_name("test").experiment_id])) == 2


def test_a_failing_training_is_a_failed_run_and_its_error_goes_on(identity: tracking.Identity) -> None:
    with pytest.raises(ZeroDivisionError), tracking.training_run(identity, []):
        raise ZeroDivisionError
    assert only_run(identity)[1].info.status == "FAILED"


def test_results_join_the_trainings_run(identity: tracking.Identity, tmp_path: Path) -> None:
    with tracking.training_run(identity, []) as log:
        log(EPOCHS[0])
    (tmp_path / "a.csv").write_text("x")
    tracking.log_results(
        identity, {"psnr_db": 21.5, "collapse": "healthy"}, {"collapse": "healthy"}, {"t": [tmp_path / "a.csv"]}
    )
    client, run = only_run(identity)
    assert run.data.metrics["psnr_db"] == 21.5
    assert run.data.tags["collapse"] == "healthy"
    assert run.info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(run.info.run_id, "t")] == ["t/a.csv"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "nonsense://x"])
def test_a_tracker_that_cannot_be_reached_is_said_once_and_stops_nothing(
    identity: tracking.Identity, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setitem(tracking.PATIENCE, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with tracking.training_run(identity, []) as log:
        for epoch in EPOCHS:
            log(epoch)
    tracking.log_results(identity, {"psnr_db": 1.0}, {}, {})
    assert capsys.readouterr().out.count("MLflow could not be written") == 2, "once a process: train and evaluate"


def test_a_store_of_rubbish_stops_nothing(identity: tracking.Identity, capsys: pytest.CaptureFixture[str]) -> None:
    (identity.paths.root / "mlflow.db").write_bytes(b"not a database" * 100)
    with tracking.training_run(identity, []) as log:
        log(EPOCHS[0])
    assert "MLflow could not be written" in capsys.readouterr().out
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(identity.paths.root / "mlflow.db").execute("select 1 from runs")


def test_nested_parameters_become_dotted() -> None:
    assert tracking.flattened({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}
