"""`restore` begins only where nothing of a person's can be lost."""

import subprocess
from pathlib import Path

import pytest
from git_projects import MODULE, commit, git, in_repository

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.workflow.clean_worktree import require_clean_worktree, require_replaceable


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return in_repository(tmp_path)


def diverge(root: Path) -> None:
    """Commit another content of one file on two branches."""
    git(root, "checkout", "-qb", "other")
    (root / MODULE).write_text("theirs\n")
    commit(root)
    git(root, "checkout", "-q", "main")
    (root / MODULE).write_text("ours\n")
    commit(root)


@pytest.mark.parametrize(
    ("what", "begin"),
    [
        ("rebase", ["rebase", "other"]),
        ("merge", ["merge", "other"]),
        ("cherry-pick", ["cherry-pick", "other"]),
        ("revert", ["revert", "--no-commit", "HEAD"]),
        ("bisect", ["bisect", "start"]),
    ],
)
def test_what_git_has_not_ended_is_named(project: Paths, what: str, begin: list[str]) -> None:
    """Git would go on from the restored commit, and drop the branch's own."""
    diverge(project.root)
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *begin]
    subprocess.run(command, cwd=project.root, capture_output=True)
    with pytest.raises(UserError, match=f"a {what} of git is underway"):
        require_clean_worktree(project)


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
def test_work_that_is_hidden_from_git_is_work(project: Paths, flag: str) -> None:
    git(project.root, "update-index", flag, MODULE)
    require_clean_worktree(project)
    (project.root / MODULE).write_text("mine\n")
    assert git(project.root, "status", "--porcelain") == ""
    with pytest.raises(UserError, match=r"vae\.py has uncommitted work that is hidden from git"):
        require_clean_worktree(project)


def test_a_sparse_checkout_is_named(project: Paths) -> None:
    git(project.root, "sparse-checkout", "set", "--no-cone", "/*", "!/latin.py")
    with pytest.raises(UserError, match=r"latin\.py is not checked out.*sparse-checkout disable"):
        require_clean_worktree(project)


def test_a_file_that_git_does_not_know_is_replaced_by_its_equal_alone(project: Paths) -> None:
    own = project.root / "own.yaml"
    require_replaceable(own, b"a")
    own.write_bytes(b"a")
    require_replaceable(own, b"a")
    with pytest.raises(UserError, match=r"git does not know .*own\.yaml"):
        require_replaceable(own, b"b")
    require_replaceable(project.params, b"whatever: git has it")
