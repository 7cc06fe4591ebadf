"""What a person deletes in MLflow's UI: it comes back where the files still are, and is said."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tracked_runs import make_record

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.run_record import RunRecord
from pipeline.config.sources import code_md5
from pipeline.storage import dvc_lock
from pipeline.tracking import metadata, registry
from pipeline.tracking.artifacts import log_lock
from pipeline.tracking.client import by_fingerprint, get_or_create_run, search_training_runs
from pipeline.tracking.live_logger import mirror_training
from pipeline.tracking.metadata import DESCRIPTION, NO_CODE, log_description
from pipeline.tracking.saved_changes import capture_code, save_code
from pipeline.tracking.store import get_client


@pytest.fixture
def record(params: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return make_record(params, tmp_path)


def train(record: RunRecord) -> tuple[MlflowClient, Any]:
    """Train one epoch as the stage does, and return the only run."""
    with mirror_training(record, []) as log:
        log({"epoch": 1, "train_loss": 1.0, "val_kl": 0.5})
    client = get_client(record.paths)
    (run,) = search_training_runs(client, record.experiment)
    return client, run


def test_a_deleted_experiment_is_restored_with_its_runs(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    client, first = train(record)
    client.delete_experiment(first.info.experiment_id)
    caplog.set_level("INFO")
    client, again = train(record)
    assert again.info.run_id == first.info.run_id
    assert "experiment test had been deleted in MLflow; it is restored" in caplog.text
    assert "could not be written" not in caplog.text
    client.delete_experiment(first.info.experiment_id)
    assert get_or_create_run(record, reopen=False)[1] == first.info.run_id


def test_a_deleted_run_is_restored_by_the_same_training(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    client, first = train(record)
    client.delete_run(first.info.run_id)
    caplog.set_level("INFO")
    client, again = train(record)
    assert again.info.run_id == first.info.run_id
    assert "had been deleted in MLflow" in caplog.text
    assert len(client.get_metric_history(first.info.run_id, "train_loss")) == 1


def test_of_two_runs_of_one_training_the_whole_one_counts(record: RunRecord) -> None:
    client, whole = train(record)
    tags = {"fingerprint": record.fingerprint}
    client.create_run(whole.info.experiment_id, tags=tags)
    assert get_or_create_run(record, reopen=False)[1] == whole.info.run_id
    known = by_fingerprint(search_training_runs(client, record.experiment))
    assert known[record.fingerprint].info.run_id == whole.info.run_id


def test_a_half_written_description_is_completed_with_the_code_of_the_training(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_code(record, resumed=False)
    trained_with = record.paths.params.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_inputs", fail)
        train(record)
    record.paths.params.write_bytes(trained_with + b"# today\n")
    client, run_id = get_or_create_run(record, reopen=False)
    run = client.get_run(run_id)
    assert run.data.tags[DESCRIPTION] == "complete"
    assert len(run.inputs.dataset_inputs) == 1
    assert Path(client.download_artifacts(run_id, "params.yaml")).read_bytes() == trained_with
    log_description(client, run_id, record, trained_here=False)
    assert len(client.get_run(run_id).inputs.dataset_inputs) == 1


def test_artifacts_deleted_by_hand_are_described_again(record: RunRecord) -> None:
    save_code(record, resumed=False)
    client, run = train(record)
    shutil.rmtree(record.paths.root / "mlartifacts")
    get_or_create_run(record, reopen=False)
    assert {"params.yaml", "code.json"} <= {
        item.path for item in client.list_artifacts(run.info.run_id)
    }


def test_the_lock_entries_are_logged_again_where_the_artifacts_were_lost(record: RunRecord) -> None:
    entry = {"outs": [{"path": "models/x", "md5": "0" * 32}]}
    client, run = train(record)
    run_id = run.info.run_id
    assert log_lock(client, run_id, {"train@x": entry}) == 1
    shutil.rmtree(record.paths.root / "mlartifacts")
    assert log_lock(client, run_id, {"train@x": entry}) == 0, "the tags are in the database"
    assert "dvc.lock" in {item.path for item in client.list_artifacts(run_id)}


def test_a_file_name_that_is_no_text_does_not_stop_the_description(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = capture_code(record.paths)._replace(left_out={"gr\udcf6\udcdfe.bin": "too large"})
    monkeypatch.setattr(metadata, "trained_code", lambda *_: odd)
    _, run = train(record)
    assert run.data.tags["code_left_out"] == "gr\\udcf6\\udcdfe.bin: too large"


def test_an_experiment_that_only_a_server_reaches_is_named(record: RunRecord) -> None:
    """As MLflow's own pages make it where a server keeps the artifacts."""
    client = get_client(record.paths)
    client.create_experiment("made in a browser", "mlflow-artifacts:/77")
    elsewhere = RunRecord(**vars(record) | {"experiment": "made in a browser"})
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI.*tracking\.experiment"):
        get_or_create_run(elsewhere, reopen=False)


def test_files_made_by_other_code_are_not_described_with_todays(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = record.paths.root / "pipeline" / "models"
    modules.mkdir(parents=True)
    (modules / "vae.py").write_text("a = 1\n")
    deps = [{"path": "pipeline/models", "md5": code_md5(modules)}]
    entry = {"cmd": "python", "deps": deps, "outs": []}
    dvc_lock.write(record.paths.dvc_lock, {f"train@{record.run.name}": entry})
    (modules / "vae.py").write_text("a = 2\n")
    client, run_id = get_or_create_run(record, reopen=False)
    assert client.get_run(run_id).data.tags[DESCRIPTION] == NO_CODE
    assert "git_commit" not in client.get_run(run_id).data.tags
    (modules / "vae.py").write_text("a = 1\n")
    get_or_create_run(record, reopen=False)
    tags = client.get_run(run_id).data.tags
    assert tags[DESCRIPTION] == "complete"
    assert capture_code(record.paths).sources.keys() == {"models/vae.py"}


class FakeDecoder:
    """Stands for the network: a torch module that is exported in a second."""

    def __new__(cls, record: RunRecord) -> Any:
        import torch

        return torch.nn.Linear(record.run.latent_dim, 4).eval()


def champion_version(client: MlflowClient, record: RunRecord, config: Config) -> Any:
    """Log the model and crown its run, as `sync` does; return the champion's version."""
    _, run_id = get_or_create_run(record, reopen=False)
    registry.log_model(client, run_id, record)
    named = {record.run.name: run_id}
    assert registry.promote_champion(client, config, record.paths, named) == record.run.name
    return client.get_model_version_by_alias(
        registry.model_name(config.tracking.experiment), "champion"
    )


@pytest.mark.slow
def test_a_deleted_model_or_version_is_logged_and_registered_again(
    record: RunRecord, params: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_make_decoder", FakeDecoder)
    best = registry.Best(record.run.name, "psnr_db", 20.0)
    monkeypatch.setattr(registry, "find_best", lambda *_: best)
    client, _ = train(record)
    name = params.tracking.experiment
    first = champion_version(client, record, params)
    assert champion_version(client, record, params).version == first.version
    client.delete_model_version(name, first.version)
    second = champion_version(client, record, params)
    assert second.run_id == first.run_id
    client.delete_registered_model(name)
    assert champion_version(client, record, params).run_id == first.run_id
    client.delete_logged_model(second.source.removeprefix("models:/"))
    third = champion_version(client, record, params)
    assert third.source != second.source
    shutil.rmtree(record.paths.root / "mlartifacts")
    fourth = champion_version(client, record, params)
    assert fourth.source != third.source, "one whose files are gone is no model"
    assert registry.usable_model(client, fourth.run_id)
    third = fourth
    assert client.get_logged_model(third.source.removeprefix("models:/"))
    assert set(client.get_registered_model(name).aliases) == {"champion", "generator"}


@pytest.mark.parametrize("name", ["Ann's VAEs", 'vae: "first" try', "/Users/me@a.org/vae"])
def test_an_experiment_may_have_any_name_that_check_admits(
    record: RunRecord, params: Config, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tracking = params.tracking.model_validate(params.tracking.model_dump() | {"experiment": name})
    config = params.model_copy(update={"tracking": tracking})
    record = RunRecord(**vars(record) | {"experiment": name})
    monkeypatch.setattr(registry, "_make_decoder", FakeDecoder)
    best = registry.Best(record.run.name, "psnr_db", 20.0)
    monkeypatch.setattr(registry, "find_best", lambda *_: best)
    client, run = train(record)
    assert champion_version(client, record, config).run_id == run.info.run_id
    assert client.get_experiment_by_name(name)
