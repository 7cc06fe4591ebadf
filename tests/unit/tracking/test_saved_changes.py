"""What of a run's code is saved, and that it comes back: real git, odd files, odd settings."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from git_projects import (
    MODULE,
    change_oddly,
    commit,
    content,
    git,
    in_folder,
    in_repository,
    in_submodule,
    in_worktree,
    later,
    restored,
    write_project,
)

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.tracking.saved_changes import UNKNOWN, capture_code


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return in_repository(tmp_path)


SETTINGS = {
    "diff.external": "false",
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.context": "0",
    "diff.renames": "copies",
    "diff.word.textconv": "tr a-z A-Z <",
    "diff.word.command": "false",
    "diff.orderFile": "/nowhere",
    "color.ui": "always",
    "core.quotePath": "false",
    "core.safecrlf": "true",
    "core.fsmonitor": "false-command",
    "core.pager": "false",
    "apply.whitespace": "fix",
    "status.showUntrackedFiles": "no",
    "status.short": "true",
}
INHERITED = ("GIT_EXTERNAL_DIFF", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")


@contextmanager
def settings_of_a_person(root: Path) -> Iterator[None]:
    """Set what changes what git prints and does, and what a hook of git hands to its children."""
    config, attributes = root / ".git" / "config", root / ".git" / "info" / "attributes"
    before = config.read_text()
    for name, value in SETTINGS.items():
        git(root, "config", name, value)
    attributes.write_text("*.py diff=word\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in INHERITED:
            patch.setenv(name, "/nowhere")
        yield
    config.write_text(before)
    attributes.unlink()


def test_no_setting_of_a_person_changes_what_is_saved_or_restored(project: Paths) -> None:
    change_oddly(project.root)
    (project.root / MODULE).write_text("line_0 = 1   \n\n\n")
    expected, plain = content(project), capture_code(project)
    with settings_of_a_person(project.root):
        assert capture_code(project) == plain
    later(project)
    with settings_of_a_person(project.root):
        assert restored(plain, project) == []
    assert content(project) == expected


def test_what_git_was_not_told_comes_back_byte_for_byte(project: Paths) -> None:
    change_oddly(project.root)
    expected, code = content(project), capture_code(project)
    later(project)
    assert restored(code, project) == []
    assert content(project) == expected
    assert os.access(project.root / "tool.sh", os.X_OK)
    assert (project.root / "link").is_symlink()


def test_saving_leaves_index_and_objects_as_they_were(project: Paths) -> None:
    change_oddly(project.root)
    git(project.root, "add", "-N", "tool.sh")
    before = git(project.root, "status", "--porcelain"), git(project.root, "count-objects")
    code = capture_code(project)
    after = git(project.root, "status", "--porcelain"), git(project.root, "count-objects")
    assert after == before
    assert b"never_added" in code.diff


def test_parameters_locks_and_reports_are_no_code(project: Paths) -> None:
    (project.root / "params.yaml").write_text("a: 2\n")
    (project.root / "dvc.lock").write_text("stages: {a: 1}\n")
    (project.root / "reports").mkdir()
    (project.root / "reports" / "report.md").write_text("report")
    code = capture_code(project)
    assert not code.is_dirty
    assert code.params == b"a: 2\n"


def test_what_is_too_large_a_secret_or_another_repository_is_named(
    project: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "large.npy").write_bytes(bytes(1_000_001))
    (project.root / ".env").write_text("TOKEN=1")
    (project.root / "other").mkdir()
    git(project.root / "other", "init", "-q")
    (project.root / "other" / "file").write_text("")
    code = capture_code(project)
    assert code.diff == b""
    assert set(code.left_out) == {"large.npy", ".env", "other/"}
    assert "1.0 MB" in code.left_out["large.npy"]
    missing = restored(code, project)
    assert len(missing) == 3
    assert "code: .env was not saved: its name is that of a secret" in missing
    for number in range(30):
        (project.root / f"part-{number}").write_bytes(bytes(990_000))
    many = capture_code(project)
    assert len(many.left_out) == 21
    assert many.left_out["..."] == "3 more files"


@pytest.mark.parametrize("make", [in_folder, in_submodule, in_worktree])
def test_only_this_projects_files_are_saved_wherever_it_lies(
    tmp_path: Path, make: Callable[[Path], Paths]
) -> None:
    project = make(tmp_path)
    change_oddly(project.root)
    expected, code = content(project), capture_code(project)
    assert b"theirs" not in code.diff
    assert b"run.log" not in code.diff
    assert code.commit == git(project.root, "rev-parse", "HEAD").strip()
    git(project.root, "checkout", "-q", "--", ".")
    git(project.root, "clean", "-fdqx", "-e", "run.log", ".")
    assert restored(code, project) == []
    assert content(project) == expected


def test_a_project_that_its_larger_repository_does_not_know_is_saved_whole(
    tmp_path: Path,
) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "theirs.py").write_text("a = 1\n")
    commit(tmp_path)
    code = capture_code(write_project(tmp_path / "vae"))
    assert b"b/pipeline/models/vae.py" in code.diff
    assert b"theirs" not in code.diff


def test_the_code_of_a_preset_is_that_of_the_study(project: Paths) -> None:
    workspace = project.root / ".demo"
    workspace.mkdir()
    (workspace / "pipeline").symlink_to("../pipeline")
    (workspace / "params.yaml").write_text("a: 3\n")
    (project.root / MODULE).write_text("line_0 = 1\n")
    code = capture_code(Paths(workspace))
    assert b"line_0" in code.diff
    assert code.params == b"a: 3\n"


def test_a_clone_with_automatic_line_ends_has_the_same_sources(
    project: Paths, tmp_path: Path
) -> None:
    attributes = Path(__file__).resolve().parents[3] / ".gitattributes"
    shutil.copy(attributes, project.root)
    (project.root / "crlf.txt").unlink()
    commit(project.root)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(project.root), str(clone))
    code = capture_code(Paths(clone))
    assert code.sources == capture_code(project).sources
    assert not code.is_dirty
    (clone / MODULE).write_text("line_0 = 1\n")
    code = capture_code(Paths(clone))
    git(clone, "checkout", "-q", "--", ".")
    assert restored(code, Paths(clone)) == []


def test_no_repository_is_silent_and_a_refused_one_is_said(
    tmp_path: Path,
    project: Paths,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    assert capture_code(write_project(alone)).commit == UNKNOWN
    git(alone, "init", "-q")
    assert capture_code(Paths(alone)).commit == UNKNOWN, "nothing was committed yet"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert capture_code(project).commit == UNKNOWN
    monkeypatch.undo()
    assert caplog.text == ""
    # What git says of a folder that a colleague owns.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert capture_code(project).commit == UNKNOWN
    assert "dubious ownership" in caplog.text


def test_files_and_folders_that_took_each_others_place_come_back(project: Paths) -> None:
    root = project.root
    (root / "notes").write_text("a file\n")
    (root / "latest").symlink_to("pipeline")
    (root / "tables").mkdir()
    (root / "tables" / "a.csv").write_text("1\n")
    commit(root)
    for name in ("notes", "latest"):
        (root / name).unlink()
        (root / name).mkdir()
        (root / name / "a.txt").write_text("in a folder\n")
    (root / "tables" / "a.csv").unlink()
    (root / "tables").rmdir()
    (root / "tables").write_text("a file\n")
    (root / MODULE).write_text("line_0 = 1\n")
    expected, code = content(project), capture_code(project)
    assert code.left_out == {}
    later(project)
    assert restored(code, project) == []
    assert content(project) == expected


def test_one_file_that_git_refuses_costs_that_file_alone(project: Paths) -> None:
    """Of a filter that is not installed, or an encoding that the text does not have."""
    root = project.root
    attributes = "*.bin filter=lfs -text\n*.txt working-tree-encoding=UTF-16\n"
    (root / ".gitattributes").write_text(attributes)
    git(root, "config", "filter.lfs.clean", "git-lfs-not-installed clean")
    git(root, "config", "filter.lfs.required", "true")
    (root / "weights.bin").write_bytes(b"123")
    (root / "odd.txt").write_bytes(b"odd")
    (root / MODULE).write_text("line_0 = 1\n")
    code = capture_code(project)
    assert code.commit == git(root, "rev-parse", "HEAD").strip()
    assert b"line_0 = 1" in code.diff
    assert {"weights.bin", "odd.txt"} <= code.left_out.keys()
    assert all("git refuses it" in code.left_out[name] for name in ("weights.bin", "odd.txt"))


def test_what_a_folders_own_gitignore_hides_in_the_package_is_saved(project: Paths) -> None:
    models = project.root / "pipeline" / "models"
    (models / ".gitignore").write_text("*.json\n")
    commit(project.root)
    (models / "table.json").write_text("{}\n")
    (models / "__pycache__").mkdir()
    (models / "__pycache__" / "vae.pyc").write_bytes(b"compiled")
    code = capture_code(project)
    assert b"table.json" in code.diff
    assert b"__pycache__" not in code.diff
    later(project)
    assert restored(code, project) == []
    assert (models / "table.json").read_text() == "{}\n"


def test_code_behind_a_link_to_a_folder_is_refused(project: Paths, tmp_path: Path) -> None:
    """No commit has it, and a fingerprint would not change with it."""
    (tmp_path / "shared").mkdir()
    (project.root / "pipeline" / "models" / "shared").symlink_to(tmp_path / "shared")
    with pytest.raises(UserError, match="shared is a link to a folder"):
        capture_code(project)
