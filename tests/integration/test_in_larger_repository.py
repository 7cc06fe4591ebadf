"""Real git and DVC where the project is a folder of something larger, or of nothing at all."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from git_projects import commit, git

from pipeline.config.paths import Paths
from pipeline.tracking.provenance import RunProvenance
from pipeline.tracking.saved_changes import capture_code
from pipeline.workflow.repository import is_in_git, tell_dvc_of_git
from pipeline.workflow.restore_code import checkout_code

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
# A stage in a second: it says which store it would write to, and measures its parameter.
STAGE = """
import json
from pipeline.config.loader import read_yaml
from pipeline.config.paths import Paths
from pipeline.tracking.store import store_uri
with open("metrics.json", "w") as file:
    json.dump({"a": read_yaml(Paths().params)["a"]}, file)
with open("store.txt", "w") as file:
    file.write(store_uri(Paths()))
"""
DVC_YAML = """stages:
  measure:
    cmd: python stage.py
    deps: [stage.py]
    params: [a]
    outs: [store.txt]
    metrics: [metrics.json]
"""


def dvc(paths: Paths, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if "DVC" not in key}
    identity = {f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")}
    environment |= identity | {"GIT_AUTHOR_NAME": "a", "GIT_COMMITTER_NAME": "a"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
    done = subprocess.run(
        ["dvc", *arguments], cwd=paths.root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def write_project(folder: Path) -> Paths:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    (folder / ".dvc" / "config.local").unlink(missing_ok=True)
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "params.yaml").write_text("a: 1\n")
    (folder / ".gitignore").write_text("/metrics.json\n/store.txt\n__pycache__\n")
    return Paths(folder)


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    return folder


def in_folder(tmp_path: Path) -> Paths:
    top = repository(tmp_path / "company")
    (top / "theirs.py").write_text("")
    paths = write_project(top / "teams" / "vae")
    commit(top)
    return paths


def in_submodule(tmp_path: Path) -> Paths:
    write_project(repository(tmp_path / "origin"))
    commit(tmp_path / "origin")
    top = repository(tmp_path / "top")
    git(top, "submodule", "--quiet", "add", str(tmp_path / "origin"), "vae")
    commit(top)
    return Paths(top / "vae")


def in_worktree(tmp_path: Path) -> Paths:
    origin = repository(tmp_path / "origin")
    write_project(origin)
    commit(origin)
    git(origin, "worktree", "add", "-q", str(tmp_path / "tree"))
    return Paths(tmp_path / "tree")


@pytest.mark.parametrize(
    "make",
    [
        in_folder,
        pytest.param(in_submodule, marks=pytest.mark.long),
        pytest.param(in_worktree, marks=pytest.mark.long),
    ],
)
def test_dvc_works_with_the_git_that_is_there(
    tmp_path: Path, make: Callable[[Path], Paths]
) -> None:
    paths = make(tmp_path)
    # What an earlier `make repro` left behind.
    dvc(paths, "config", "--local", "core.no_scm", "true")
    tell_dvc_of_git(paths)
    dvc(paths, "repro")
    commit(paths.root)
    own_store = f"sqlite:///{paths.root.resolve()}/mlflow.db"
    assert (paths.root / "store.txt").read_text() == own_store
    if make is not in_worktree:
        dvc(paths, "exp", "run", "--temp", "--name", "other", "--set-param", "a=3")
        assert "other" in dvc(paths, "exp", "show", "--no-pager")
        dvc(paths, "exp", "apply", "other")
        assert (paths.root / "store.txt").read_text() == own_store
    (paths.root / "params.yaml").write_text("a: 4\n")
    dvc(paths, "repro")
    change = dvc(paths, "metrics", "diff", "--md").splitlines()[-2:]
    assert any(line.split("|")[3:5] == [" 1      ", " 4           "] for line in change), change


def test_a_mere_folder_works_too_and_git_is_taken_up_later(tmp_path: Path) -> None:
    paths = write_project(tmp_path / "archive")
    tell_dvc_of_git(paths)
    tell_dvc_of_git(paths)
    dvc(paths, "repro")
    repository(paths.root)
    commit(paths.root)
    tell_dvc_of_git(paths)
    assert "no_scm" not in (paths.root / ".dvc" / "config.local").read_text()
    dvc(paths, "repro")
    dvc(paths, "metrics", "diff")


def test_a_folder_that_the_repository_above_ignores_is_a_mere_folder(tmp_path: Path) -> None:
    home = repository(tmp_path / "home")
    (home / ".gitignore").write_text("*\n")
    paths = write_project(home / "work" / "vae")
    assert not is_in_git(paths.root)
    tell_dvc_of_git(paths)
    dvc(paths, "repro")


def test_hooks_of_dvc_install_and_an_old_lock_do_not_stop_a_restore(tmp_path: Path) -> None:
    paths = write_project(repository(tmp_path / "study"))
    dvc(paths, "repro")
    commit(paths.root)
    (paths.root / "pipeline" / "models" / "new.py").write_text("a = 1\n")
    code = capture_code(paths)
    (paths.root / "pipeline" / "models" / "new.py").unlink()
    # Of the older commit, neither cache nor remote has the files any more.
    shutil.rmtree(paths.root / ".dvc" / "cache")
    (paths.root / "params.yaml").write_text("a: 2\n")
    dvc(paths, "repro")
    commit(paths.root, "Another")
    dvc(paths, "install")
    assert (paths.root / ".git" / "hooks" / "post-checkout").exists()
    assert checkout_code(RunProvenance("run", code, None), paths)[1] == []
    assert (paths.root / "pipeline" / "models" / "new.py").read_text() == "a = 1\n"
    assert git(paths.root, "rev-parse", "HEAD").strip() == code.commit
