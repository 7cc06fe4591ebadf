"""Where the store and its artifacts are: one place for a project, which follows a moved folder."""

import os
import shutil
import sqlite3
import stat
from collections import OrderedDict
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils
from tracked_runs import make_record

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.tracking.client import get_or_create_run
from pipeline.tracking.live_logger import mirror_training
from pipeline.tracking.store import get_client, local_database, store_uri

URI = "MLFLOW_TRACKING_URI"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URI, "MLFLOW_REGISTRY_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def record(params: Config, tmp_path: Path) -> RunRecord:
    home = tmp_path / "старий дім"
    home.mkdir()
    return make_record(params, home)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{root}/mlflow.db"),
        ("sqlite:///./stores/../runs.db?timeout=5", "sqlite:///{root}/runs.db?timeout=5"),
        ("sqlite:////data/./mlflow.db", "sqlite:////data/./mlflow.db"),
        ("sqlite:///~/mlflow.db", "sqlite:///{home}/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://a:b@host/mlflow", "postgresql://a:b@host/mlflow"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("", "sqlite:///{root}/mlflow.db"),
    ],
)
def test_a_relative_database_lies_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, expected: str
) -> None:
    monkeypatch.setenv(URI, uri)
    monkeypatch.chdir("/")
    assert store_uri(Paths(tmp_path)) == expected.format(root=tmp_path, home=Path.home())


def test_a_temporary_copy_of_dvc_writes_to_its_projects_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URI, "sqlite:///mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1" / "folder" / "project"
    copy.mkdir(parents=True)
    assert store_uri(Paths(copy)) == f"sqlite:///{tmp_path}/mlflow.db"
    assert Paths(copy).checkpoints == tmp_path / ".checkpoints"


def test_a_dvc_root_that_was_inherited_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "another project"))
    assert Paths(tmp_path).state_root == tmp_path
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    inner = tmp_path / ".demo"
    assert Paths(inner).state_root == inner


def test_a_presets_workspace_shares_the_store_of_the_study_that_it_lies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (URI, "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    study = tmp_path / "study"
    (study / "pipeline").mkdir(parents=True)
    demo, elsewhere = study / ".demo", tmp_path / "elsewhere"
    for folder in (demo, elsewhere):
        folder.mkdir()
        (folder / "pipeline").symlink_to(study / "pipeline")
    assert store_uri(Paths(demo)) == store_uri(Paths(study)) == f"sqlite:///{study}/mlflow.db"
    assert store_uri(Paths(elsewhere)) == f"sqlite:///{elsewhere}/mlflow.db"
    assert Paths(demo).checkpoints == demo / ".checkpoints"


@pytest.mark.parametrize("uri", ["localhost:5000", "sqlite:mlflow.db", "127.0.0.1:5000"])
def test_an_address_without_its_scheme_is_refused_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv(URI, uri)
    with pytest.raises(UserError, match=r"lacks http://.*sqlite:///"):
        get_client(Paths(tmp_path))


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "/data/mlruns", "file:///data/mlruns"])
def test_a_folder_of_files_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv(URI, uri)
    with pytest.raises(UserError, match=r"is a folder of files.*unset it.*migrate-filestore"):
        get_client(Paths(tmp_path))


def test_a_database_in_nobodys_home_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URI, "sqlite:///~nobody-of-that-name/mlflow.db")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI names ~nobody-of-that-name"):
        get_client(Paths(tmp_path))


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv(URI, uri)
    with pytest.raises(UserError, match="in memory"):
        get_client(Paths(tmp_path))


def test_a_refused_store_stops_no_training(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(URI, "./mlruns")
    with mirror_training(record, []) as log:
        log({"epoch": 1, "train_loss": 1.0})
    assert "MLflow could not be written" in caplog.text
    assert "migrate-filestore" in caplog.text


def places(database: Path) -> set[str]:
    """Every place of artifacts that the database names for this project's runs."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = 'test' "
            "UNION SELECT artifact_uri FROM runs"
        )
        return {place for (place,) in found}


@pytest.fixture
def elsewhere(record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A described run, and a place that its folder can go to."""
    get_or_create_run(record)
    # As in another process: this one's MLflow remembers where a run's artifacts were.
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())
    return tmp_path / "a new home"


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_artifacts_are_found_and_written_where_the_project_is(
    record: RunRecord, elsewhere: Path, how: object
) -> None:
    old = record.paths.root
    how(old, elsewhere)
    kept = sorted(old.rglob("*")) if old.exists() else []
    moved = RunRecord(**vars(record) | {"paths": Paths(elsewhere)})
    client, run_id = get_or_create_run(moved, reopen=False)
    assert all(place.startswith(elsewhere.as_uri()) for place in places(elsewhere / "mlflow.db"))
    client.log_text(run_id, "text", "new.txt")
    assert (elsewhere / "mlartifacts" / run_id / "artifacts" / "new.txt").exists()
    assert Path(client.download_artifacts(run_id, "params.yaml")).exists()
    assert (sorted(old.rglob("*")) if old.exists() else []) == kept
    with_old = [place for place in places(elsewhere / "mlflow.db") if old.as_uri() in place]
    assert with_old == []


def test_artifacts_that_were_left_behind_stay_where_they_are(
    record: RunRecord, elsewhere: Path
) -> None:
    before = places(record.paths.tracking_database)
    elsewhere.mkdir()
    shutil.move(record.paths.tracking_database, elsewhere)
    get_client(Paths(elsewhere))
    assert places(elsewhere / "mlflow.db") == before


@pytest.mark.parametrize("revision", ["451aebb31d03", "of the future"])
def test_a_database_of_another_mlflow_is_one_line_and_stays_as_it_is(
    record: RunRecord, revision: str
) -> None:
    database = record.paths.tracking_database
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        # MLflow would migrate such a one by itself.
        connection.execute("DROP TABLE webhooks")
    before = database.read_bytes()
    with pytest.raises(
        UserError, match=r"mlflow\.db is of another MLflow.*mlflow db upgrade sqlite"
    ):
        get_client(record.paths)
    assert database.read_bytes() == before


@pytest.mark.slow
def test_a_new_database_is_as_open_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        get_client(Paths(tmp_path))
    finally:
        os.umask(before)
    for name in ("mlflow.db", "mlflow.db.lock"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o664
    assert local_database(store_uri(Paths(tmp_path))) == tmp_path / "mlflow.db"
