"""The links to MLflow's pages, and the views that they open: written once, in nobody's way."""

import hashlib
import json
import logging
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from tracked_runs import make_record

from pipeline import UserError
from pipeline.config.grid import Config, flatten_dict
from pipeline.config.run_record import RunRecord
from pipeline.report.metrics import REGISTRY
from pipeline.tracking.client import get_client, get_or_create_run, search_training_runs
from pipeline.tracking.links import log_links, server_address, ui_address
from pipeline.tracking.store import HTTP_LIMITS
from pipeline.tracking.ui import log_all_links, serve
from pipeline.tracking.views import METRICS, PARAMS, VERDICT

EXPERIMENT = "vae-cifar10"
ADDRESS = "http://127.0.0.1:5001"
VIEW = "mlflow.sharedViewState."


@pytest.fixture
def record(
    params: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> RunRecord:
    """A trained run of params.yaml, in MLflow beside one of an older training."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_PORT", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    record = make_record(params, tmp_path, EXPERIMENT)
    get_or_create_run(record, reopen=False)
    get_or_create_run(replace(record, fingerprint="a" * 32), reopen=False)
    caplog.clear()
    return record


def experiment_tags(record: RunRecord) -> dict[str, str]:
    return dict(get_client(record.paths).get_experiment_by_name(EXPERIMENT).tags)


def state(record: RunRecord, view: str) -> dict:
    saved = json.loads(experiment_tags(record)[VIEW + view])
    return dict(json.loads(saved["state"]))


def links(text: str) -> list[str]:
    return re.findall(r"http\S+", text)


def test_the_links_open_views_that_the_store_has(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    log_links(record.paths)
    page = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
    assert links(caplog.text) == [
        f"{page}&viewStateShareKey=trainings",
        f"{page}&viewStateShareKey=current&compareRunsMode=CHART",
    ]
    columns = state(record, "trainings")["selectedColumns"]
    assert columns == state(record, "current")["selectedColumns"]
    assert {re.sub(r"^.*`(.*)`$", r"\1", column) for column in columns} == {
        *("variant", "latent_dim", "collapse_label"),
        *("psnr_db", "fd_samples", "test_kl"),
    }


def test_every_column_is_one_that_runs_have(record: RunRecord) -> None:
    assert set(PARAMS) <= set(flatten_dict(record.run.to_dict()))
    assert {VERDICT, *METRICS} <= set(REGISTRY)


def test_only_runs_that_params_yaml_lists_are_compared(record: RunRecord) -> None:
    log_links(record.paths)
    assert state(record, "current")["searchFilter"] == "tags.current = 'true'"
    runs = search_training_runs(get_client(record.paths), EXPERIMENT)
    assert {run.data.tags["fingerprint"]: run.data.tags["current"] for run in runs} == {
        record.fingerprint: "true",
        "a" * 32: "false",
    }


def test_where_nothing_is_trained_there_is_nothing_to_compare(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    (record.paths.model(record.run.name) / "model.json").unlink()
    log_links(record.paths)
    assert len(links(caplog.text)) == 1


def test_a_second_time_writes_nothing(record: RunRecord) -> None:
    log_links(record.paths, ADDRESS)
    database = record.paths.tracking_database
    before = hashlib.sha256(database.read_bytes()).digest()
    log_links(record.paths, ADDRESS)
    assert hashlib.sha256(database.read_bytes()).digest() == before


def test_peoples_views_stay_and_a_view_of_ours_comes_back(record: RunRecord) -> None:
    client = get_client(record.paths)
    log_links(record.paths)
    made = experiment_tags(record)
    theirs = json.dumps({"name": "mine", "createdAt": 1, "updatedAt": 1, "state": "{}"})
    client.set_experiment_tag("1", f"{VIEW}17640000000000.abcdefgh", theirs)
    client.set_experiment_tag("1", f"{VIEW}trainings", theirs)
    client.delete_experiment_tag("1", f"{VIEW}current")
    log_links(record.paths)
    assert experiment_tags(record) == made | {f"{VIEW}17640000000000.abcdefgh": theirs}


def test_an_experiment_of_another_kind_opens_on_training_and_keeps_its_kind(
    record: RunRecord,
) -> None:
    client = get_client(record.paths)
    client.delete_experiment_tag("1", "mlflow.experimentKind")
    log_links(record.paths)
    assert experiment_tags(record)["mlflow.experimentKind"] == "custom_model_development"
    client.set_experiment_tag("1", "mlflow.experimentKind", "genai_development")
    log_links(record.paths)
    assert experiment_tags(record)["mlflow.experimentKind"] == "genai_development"


def test_the_links_lead_to_where_the_ui_is(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    monkeypatch.setenv("MLFLOW_PORT", "5005")
    log_links(record.paths)
    assert links(caplog.text)[0].startswith("http://127.0.0.1:5005/#/")
    assert "`make ui` shows every run of vae-cifar10" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org:8443/base/")
    assert server_address(record.paths) == "https://mlflow.example.org:8443/base"
    assert ui_address(record.paths) == "https://mlflow.example.org:8443/base"


def test_the_demo_beside_the_study_has_links_too(
    record: RunRecord, params: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    beside = tmp_path / ".demo"
    beside.mkdir()
    text = record.paths.params.read_text().replace(EXPERIMENT, f"{EXPERIMENT}-demo")
    demo = make_record(params, beside, f"{EXPERIMENT}-demo")
    demo.paths.params.write_text(text)
    # Its runs are in the study's store.
    demo.paths.tracking_database.unlink()
    get_or_create_run(replace(record, experiment=demo.experiment), reopen=False)
    log_all_links(record.paths, ADDRESS)
    found = links(caplog.text)
    assert [re.findall(r"/experiments/(\d+)/", link)[0] for link in found] == ["1", "1", "2", "2"]
    assert not demo.paths.tracking_database.exists()


def test_a_store_without_the_study_has_no_links(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    get_client(record.paths).delete_experiment("1")
    log_links(record.paths)
    text = record.paths.params.read_text()
    record.paths.params.write_text(text.replace(EXPERIMENT, "another"))
    log_links(record.paths)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "mlruns"]
)
def test_a_store_that_is_away_costs_the_links_alone(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setitem(HTTP_LIMITS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    log_links(record.paths)
    assert caplog.text.count("There is no link to MLflow's pages") == 1


@pytest.mark.slow
@pytest.mark.long
def test_a_locked_store_costs_the_links_alone(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    database = sqlite3.connect(record.paths.tracking_database, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    log_links(record.paths)
    database.execute("ROLLBACK")
    database.close()
    assert caplog.text.count("There is no link to MLflow's pages") == 1


def test_make_ui_of_a_server_says_where_its_pages_are(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setitem(HTTP_LIMITS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    serve(record.paths, 5000)
    assert "MLflow is on http://127.0.0.1:9" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks://profile")
    with pytest.raises(UserError, match="names a server, databricks://profile"):
        serve(record.paths, 5000)
