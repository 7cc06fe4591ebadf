"""Real stages in hostile surroundings: a clear line, a non-zero exit, nothing half-written."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.storage.locks import run_lock
from pipeline.storage.yaml_io import dump_yaml

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(trained: tuple[Config, Paths], tmp_path: Path) -> Path:
    """A finished study, to be changed, in a folder with spaces and Cyrillic letters."""
    params, paths = trained
    root = tmp_path / "тека з пробілами"
    shutil.copytree(
        paths.root, root, ignore=shutil.ignore_patterns(".checkpoints", "mlflow.db", "mlartifacts")
    )
    (root / "params.yaml").write_text(dump_yaml(params.model_dump()))
    return root


def stage(
    root: Path,
    name: str,
    *arguments: str,
    limit: Callable[[], None] | None = None,
    as_user: bool = False,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a stage as DVC does, under a limit; `as_user` takes root's right to write everywhere."""
    drop = "-dac_override,-dac_read_search"
    user = (
        ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"]
        if as_user and os.geteuid() == 0
        else []
    )
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MLFLOW", "DVC", "DISPLAY"))
    }
    return subprocess.run(
        [*user, sys.executable, "-m", "pipeline.stages", name, *arguments],
        cwd=root,
        preexec_fn=limit,
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    for word in words:
        assert word in done.stderr


def file_size(limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def find_stale(root: Path) -> list[str]:
    return [
        str(path) for part in ("data", "models", "reports") for path in (root / part).rglob(".*")
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "out"),
    [
        ("fetch", (), "data/mnist"),
        pytest.param("baselines", (), "models/baselines", marks=pytest.mark.long),
        pytest.param("rivals", ("2",), "reports/rivals/2.json", marks=pytest.mark.long),
        ("train", ("original-2-0",), "models/original-2-0"),
        pytest.param(
            "sample", ("original-2-0",), "reports/samples/original-2-0", marks=pytest.mark.long
        ),
        ("evaluate", ("original-2-0",), "reports/metrics/original-2-0.json"),
        ("report", (), "reports/report.md"),
    ],
)
def test_a_full_disk_leaves_nothing_half_written(
    workspace: Path, name: str, arguments: tuple, out: str
) -> None:
    """No file may grow beyond 300 bytes: what a full disk does, without filling one."""
    path = workspace / out
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(
        stage(workspace, name, *arguments, limit=file_size(300)),
        "cannot be written: File too large",
    )
    assert not path.exists()
    assert find_stale(workspace) == []
    if name == "train":
        done = stage(workspace, name, *arguments)
        assert done.returncode == 0, done.stderr
        assert path.exists()


@pytest.mark.parametrize(
    ("name", "arguments", "folder"),
    [("fetch", (), "data"), ("train", ("original-2-0",), "models"), ("report", (), "reports")],
)
def test_a_folder_that_may_not_be_written_is_named(
    workspace: Path, name: str, arguments: tuple, folder: str
) -> None:
    if name != "report":  # whose outputs are some of its folder's files, and are replaced
        shutil.rmtree(workspace / folder)
        (workspace / folder).mkdir()
    before = sorted((workspace / folder).rglob("*"))
    (workspace / folder).chmod(0o555)
    done = stage(workspace, name, *arguments, as_user=True)
    (workspace / folder).chmod(0o755)
    refused(done, "ermission denied", folder)
    assert sorted((workspace / folder).rglob("*")) == before


def test_a_file_in_place_of_a_folder_is_named(workspace: Path) -> None:
    shutil.rmtree(workspace / "models")
    (workspace / "models").write_text("in the way")
    refused(stage(workspace, "train", "original-2-0"), "models")


def test_too_little_memory_is_said(workspace: Path) -> None:
    """The address space is limited, and the model is made far too large for it."""
    path = workspace / "params.yaml"
    path.write_text(path.read_text().replace("- 4\n  - 8\n", "- 4\n  - 200000\n"))
    assert "200000" in path.read_text()
    limit = 12 * 2**30
    done = stage(
        workspace,
        "train",
        "original-2-0",
        limit=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    refused(done, "out of memory", "model.channels")


@pytest.mark.parametrize(
    "missing", ["data/mnist", "models/baselines", "models/original-2-0", "params.yaml"]
)
def test_missing_inputs_are_named_with_what_makes_them(workspace: Path, missing: str) -> None:
    path = workspace / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(stage(workspace, "evaluate", "original-2-0"), missing)


def test_a_stage_wants_the_name_of_one_run(workspace: Path) -> None:
    refused(stage(workspace, "train"), "name of one run")
    refused(stage(workspace, "train", "original-3-0"), "original-3-0", "pca_refined-2-0")
    refused(stage(workspace, "rivals"), "a latent size")
    refused(stage(workspace, "rivals", "3"), "no latent size '3'", "its grid has: 2")


def test_without_git_a_display_fonts_or_a_home_the_study_runs(
    workspace: Path, tmp_path: Path
) -> None:
    shutil.rmtree(workspace / "models" / "original-2-0")
    bare = {
        "PATH": str(tmp_path),
        "HOME": str(tmp_path / "nowhere"),
        "MPLCONFIGDIR": str(tmp_path / "mpl"),
    }
    for name, *arguments in (
        ("train", "original-2-0"),
        ("evaluate", "original-2-0"),
        ("report",),
    ):
        done = stage(workspace, name, *arguments, **bare)
        assert done.returncode == 0, done.stderr
        assert "MLflow could not be written" not in done.stdout


def test_a_second_training_of_the_same_run_waits_and_gives_the_same_bytes(workspace: Path) -> None:
    model = workspace / "models" / "original-2-0"
    expected = (model / "weights.safetensors").read_bytes()
    fingerprint = json.loads((model / "model.json").read_text())["fingerprint"]
    shutil.rmtree(model)
    command = [sys.executable, "-m", "pipeline.stages", "train", "original-2-0"]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "DVC"))
    }
    with run_lock(Paths(workspace).lock(fingerprint), "original-2-0"):
        second = subprocess.Popen(
            command,
            cwd=workspace,
            env=environment | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        waiting = next(line for line in second.stdout if "another process is training" in line)
        assert "original-2-0" in waiting
        assert not model.exists()
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert (model / "weights.safetensors").read_bytes() == expected
    assert find_stale(workspace) == []
