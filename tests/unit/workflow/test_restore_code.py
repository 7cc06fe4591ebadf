"""A run's code restored: wholly or not at all, and over nobody's work."""

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
    later,
    restored,
)

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.tracking.saved_changes import capture_code


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return in_repository(tmp_path)


@pytest.mark.parametrize("hook", ["post-checkout", "post-index-change", "pre-commit"])
def test_hooks_neither_break_nor_see_a_restore(project: Paths, tmp_path: Path, hook: str) -> None:
    change_oddly(project.root)
    code = capture_code(project)
    later(project)
    script = project.root / ".git" / "hooks" / hook
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\ntouch '{tmp_path}/called'\nexit 1\n")
    script.chmod(0o755)
    assert restored(code, project) == []
    assert not (tmp_path / "called").exists()


def test_a_module_that_is_not_the_runs_is_no_success(project: Paths) -> None:
    code = capture_code(project)
    without = code.sources | {"models/lost.py": "0" * 64}
    assert restored(code._replace(sources=without), project) == [
        "code: pipeline/models/lost.py is in neither the run's commit nor its changes"
    ]
    other = code.sources | {"models/vae.py": "0" * 64}
    assert "byte for byte" in restored(code._replace(sources=other), project)[0]
    (project.root / "pipeline" / "models" / "extra.py").write_text("")
    assert "remove it" in restored(code, project)[0]


def test_what_cannot_be_applied_touches_nothing(project: Paths) -> None:
    (project.root / MODULE).write_text("line_0 = 1\n")
    code = capture_code(project)
    later(project)
    before = content(project), git(project.root, "status", "--branch", "--porcelain")
    broken = code._replace(diff=code.diff.replace(b"-line_5 = 5\n", b"-line_5 = 6\n"))
    with pytest.raises(UserError, match="nothing was touched"):
        restored(broken, project)
    assert before == (content(project), git(project.root, "status", "--branch", "--porcelain"))


def test_an_untracked_file_in_the_way_is_kept(project: Paths) -> None:
    name = project.root / "pipeline" / "models" / "never_added.py"
    name.write_text("the run's\n")
    code = capture_code(project)
    later(project)
    name.write_text("another\n")
    with pytest.raises(UserError, match=r"never_added\.py is in the way"):
        restored(code, project)
    assert name.read_text() == "another\n"
    assert git(project.root, "rev-parse", "--abbrev-ref", "HEAD").strip() == "main"
    name.write_text("the run's\n")
    assert restored(code, project) == []


def test_uncommitted_work_is_kept(project: Paths) -> None:
    code = capture_code(project)
    later(project)
    (project.root / MODULE).write_text("mine = 1\n")
    with pytest.raises(UserError, match=r"uncommitted work \(pipeline/models/vae\.py\)"):
        restored(code, project)


def test_a_larger_repository_keeps_what_others_changed_in_it(tmp_path: Path) -> None:
    project = in_folder(tmp_path)
    theirs = project.root.parent.parent / "theirs.py"
    (project.root / MODULE).write_text("line_0 = 1\n")
    code = capture_code(project)
    git(project.root, "checkout", "-q", "--", ".")
    (project.root / "later.py").write_text("")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "Later")
    assert restored(code, project) == []
    assert theirs.read_text() == "a = 2\n"
    assert (project.root / MODULE).read_text() == "line_0 = 1\n"


def test_an_untracked_file_or_link_in_place_of_a_folder_is_kept(project: Paths) -> None:
    helpers = project.root / "helpers"
    helpers.mkdir()
    (helpers / "h.py").write_text("the run's\n")
    code = capture_code(project)
    later(project)
    helpers.write_text("mine\n")
    with pytest.raises(UserError, match="helpers is in the way"):
        restored(code, project)
    assert helpers.read_text() == "mine\n"
    helpers.unlink()
    elsewhere = project.root.parent / "elsewhere"
    elsewhere.mkdir()
    helpers.symlink_to(elsewhere)
    with pytest.raises(UserError, match="helpers is in the way"):
        restored(code, project)
    assert not list(elsewhere.iterdir())


def test_links_that_are_as_the_run_had_them_are_in_nobodys_way(project: Paths) -> None:
    (project.root / "scratch").symlink_to("/tmp")  # noqa: S108  # a place, never written to
    (project.root / "latest").symlink_to("latin.py")
    (project.root / "dangling").symlink_to("nowhere")
    code = capture_code(project)
    assert restored(code, project) == []
    (project.root / "dangling").unlink()
    (project.root / "dangling").symlink_to("elsewhere")
    with pytest.raises(UserError, match="dangling is in the way"):
        restored(code, project)


def test_a_module_that_was_committed_after_the_run_is_in_nobodys_way(project: Paths) -> None:
    module = project.root / "pipeline" / "models" / "attention.py"
    module.write_text("as trained\n")
    code = capture_code(project)
    for text in ("as trained\n", "changed since\n"):
        module.write_text(text)
        commit(project.root)
    assert restored(code, project) == []
    assert module.read_text() == "as trained\n"
    assert git(project.root, "show", "main:pipeline/models/attention.py") == "changed since\n"
