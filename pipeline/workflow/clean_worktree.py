"""What must hold before another commit is checked out: nothing of a person's may be lost."""

import os
from pathlib import Path

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.storage.git import GitError, git, is_blob, line, names

# What git has begun and not ended, by the file that says so. It would go on from another commit.
UNDERWAY = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


def require_clean_worktree(paths: Paths) -> None:
    """Raise UserError where there is no git repository, or unfinished work in the project."""
    try:
        _require_nothing_underway(paths.root)
        _require_nothing_hidden(paths.root)
        status = git(
            paths.root, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "."
        )
    except GitError as error:
        raise UserError(
            f"git cannot be asked in {paths.root.resolve()}, and a run's code is a commit: {error}"
        ) from None
    if changed := [entry[3:] for entry in names(status)]:
        raise UserError(
            f"there is uncommitted work ({', '.join(changed[:5])}); commit it or `git stash` it, "
            "then restore again"
        )


def _require_nothing_underway(root: Path) -> None:
    for name, what in UNDERWAY.items():
        if (root / line(root, "rev-parse", "--git-path", name)).exists():
            raise UserError(
                f"a {what} of git is underway: end it (`git {what} --continue`, `--abort`, or "
                "`reset` of a bisect), then restore again"
            )


def _require_nothing_hidden(root: Path) -> None:
    """Raise UserError where a change was hidden from `git status`, or files are not checked out."""
    # `S`: skip-worktree; a small letter: assume-unchanged.
    listed = names(git(root, "ls-files", "-v", "-z", "--", "."))
    for name in [entry[2:] for entry in listed if entry[0] == "S" or entry[0].islower()]:
        if not os.path.lexists(root / name):
            raise UserError(
                f"{name} is not checked out: a run's code needs all of it; `git sparse-checkout "
                "disable`, then restore again"
            )
        if not is_blob(root / name, line(root, "rev-parse", f":./{name}")):
            raise UserError(
                f"{name} has uncommitted work that is hidden from git; show it by `git "
                f"update-index --no-skip-worktree --no-assume-unchanged {name}`, commit it or `git "
                "stash` it, then restore again"
            )


def require_replaceable(path: Path, content: bytes) -> None:
    """Raise UserError if a file that git does not know would be lost to another content."""
    known = git(path.parent, "ls-files", "-z", "--", path.name)
    if path.exists() and not known and path.read_bytes() != content:
        raise UserError(f"git does not know {path}; move it elsewhere, then restore again")
