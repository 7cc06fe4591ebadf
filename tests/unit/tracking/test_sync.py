"""`sync` gives MLflow what the files hold, once, whatever happened to the store before."""

import json
import shutil

import pytest
from mlflow.entities import Run as MlflowRun

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord, load_run_record
from pipeline.storage.locks import run_lock
from pipeline.tracking.client import (
    get_client,
    get_or_create_run,
    search_training_runs,
)
from pipeline.tracking.live_logger import mirror_training
from pipeline.tracking.store import HTTP_LIMITS
from pipeline.tracking.sync import sync

Study = tuple[Config, Paths]


def runs(study: Study) -> dict[str, MlflowRun]:
    client = get_client(study[1])
    return {
        run.info.run_name: run for run in search_training_runs(client, study[0].tracking.experiment)
    }


def everything(study: Study) -> dict:
    """What a person compares, without ids and times."""
    client = get_client(study[1])
    seen = {}
    for name, run in runs(study).items():
        run_id = run.info.run_id
        # What the machine was doing is known to the monitor alone, while a training goes on.
        measured = [key for key in run.data.metrics if not key.startswith("system/")]
        history = {
            key: [(m.step, m.value) for m in client.get_metric_history(run_id, key)]
            for key in measured
        }
        places = ("model", "pictures", "latent_stats")
        files = {item.path for place in places for item in client.list_artifacts(run_id, place)}
        kept = ("fingerprint", "collapse_label", "collapse_reason", "current", "dvc_stage")
        tags = {key: value for key, value in run.data.tags.items() if key in kept}
        seen[name] = (run.info.status, run.data.params, history, files, tags)
    return seen


def test_a_deleted_store_is_rebuilt_in_full(study: Study, trained: Study) -> None:
    params, paths = study
    assert all(count > 10 for count in sync(params, paths).added.values())
    rebuilt, original = everything(study), everything(trained)
    for name in ("original-2-0", "pca_refined-2-0"):
        status, parameters, history, files, tags = rebuilt[name]
        assert status == "FINISHED"
        assert tags.pop("current") == "true"
        assert (parameters, history, files, tags) == original[name][1:]
        assert {
            "model/weights.safetensors",
            "pictures/samples_normal.png",
            "pictures/loss_curves.png",
        } <= files
        metrics = json.loads(paths.metrics(name).read_text())
        assert {key: values[-1][1] for key, values in history.items() if key in metrics} == {
            key: pytest.approx(value)
            for key, value in metrics.items()
            if not isinstance(value, str)
        }


def test_a_second_sync_adds_nothing(study: Study) -> None:
    sync(*study)
    before = everything(study)
    second = sync(*study)
    assert set(second.added.values()) == {0}
    assert second.closed == []
    assert everything(study) == before


def test_runs_of_others_in_the_experiment_stay_as_they_are(study: Study) -> None:
    params, paths = study
    sync(params, paths)
    client = get_client(paths)
    experiment = client.get_experiment_by_name(params.tracking.experiment).experiment_id
    theirs = client.create_run(experiment, tags={"study": "optuna-3"}, run_name="optuna trial")
    ours = runs(study)["original-2-0"].info.run_id
    client.set_tag(ours, "mlflow.parentRunId", theirs.info.run_id)
    sync(params, paths)
    assert client.get_run(theirs.info.run_id).info.lifecycle_stage == "active"
    assert client.get_run(ours).data.tags["mlflow.parentRunId"] == theirs.info.run_id


def test_what_an_outage_swallowed_is_added_each_epoch_once(study: Study) -> None:
    params, paths = study
    record = load_run_record("original-2-0", params.tracking.experiment, paths)
    with mirror_training(record, []) as log:
        log({"epoch": 1, "train_loss": 0.7})
    sync(params, paths)
    _, _, history, _, _ = everything(study)["original-2-0"]
    assert [step for step, _ in history["train_loss"]] == [1, 2]


def left_running(study: Study, fingerprint: str | None) -> RunRecord:
    params, paths = study
    record = load_run_record("original-2-0", params.tracking.experiment, paths)
    if fingerprint:
        record = RunRecord(**vars(record) | {"fingerprint": fingerprint})
    get_or_create_run(record)
    return record


def test_a_stale_running_run_is_closed_with_its_true_state(study: Study) -> None:
    left_running(study, None)
    left_running(study, "a" * 32)
    assert sorted(sync(*study).closed) == ["original-2-0", "original-2-0"]
    client = get_client(study[1])
    found = search_training_runs(client, "vae-cifar10")
    states = {
        run.data.tags["fingerprint"]: (run.info.status, run.data.tags["current"]) for run in found
    }
    assert states["a" * 32] == ("KILLED", "false")
    assert ("FINISHED", "true") in states.values()


def statuses(study: Study) -> set[str]:
    client = get_client(study[1])
    found = search_training_runs(client, "vae-cifar10")
    return {run.info.status for run in found}


def test_a_run_that_is_being_trained_is_left_alone(study: Study) -> None:
    record = left_running(study, "a" * 32)
    with run_lock(study[1].lock(record.fingerprint), "original-2-0"):
        assert sync(*study).closed == []
        assert "RUNNING" in statuses(study)
    assert sync(*study).closed == ["original-2-0"], "and closed once nobody trains it"


def test_a_run_of_another_machine_is_left_alone(study: Study) -> None:
    record = left_running(study, "a" * 32)
    client, run_id = get_or_create_run(record)
    client.set_tag(run_id, "training_lock", "another-host /somewhere/lock")
    assert sync(*study).closed == []
    assert "RUNNING" in statuses(study)


def test_untrained_runs_are_named_and_removed_ones_lose_their_mark(study: Study) -> None:
    params, paths = study
    sync(params, paths)
    fewer = params.model_copy(
        update={"grid": params.grid.model_copy(update={"variants": ["pca_refined"]})}
    )
    sync(fewer, paths)
    assert {name: run.data.tags["current"] for name, run in runs(study).items()} == {
        "original-2-0": "false",
        "pca_refined-2-0": "true",
    }
    shutil.rmtree(paths.model("pca_refined-2-0"))
    assert sync(fewer, paths).missing == ["pca_refined-2-0"]


def test_damaged_files_and_an_absent_store_are_one_clear_line(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, paths = study
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setitem(HTTP_LIMITS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        UserError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be brought up to date"
    ):
        sync(params, paths)
    (paths.model("original-2-0") / "model.json").write_text("{}")
    with pytest.raises(UserError, match=r"model\.json cannot be used"):
        sync(params, paths)
