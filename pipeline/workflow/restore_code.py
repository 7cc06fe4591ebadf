"""A run's code back in the working tree: its commit and its changes, wholly or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.config.sources import source_hashes
from pipeline.storage.git import (
    LITERAL,
    GitError,
    git,
    is_blob,
    line,
    names,
    prefix,
    toplevel,
)
from pipeline.tracking.provenance import RunProvenance


def checkout_code(provenance: RunProvenance, paths: Paths) -> tuple[list[str], list[str]]:
    """Check out the run's commit, detached, and lay what was changed over it.

    Returns a line for what was restored, and for what is missing. Raises UserError, with the tree
    as it was, if that cannot be done: changes are tried in a scratch index first.
    """
    code = provenance.code
    try:
        top, at = toplevel(paths.root), prefix(paths.root)
        _require_commit(provenance, top, at)
        tree = _changed_tree(provenance, top, at)
        changes = _changes(code.commit, tree, top)
        _require_room(changes, top)
        restored = [_switch(code.commit, tree, changes, top)]
    except GitError as error:
        raise UserError(
            f"the code of run {provenance.name} cannot be restored; nothing was touched. "
            f"Git says: {error}"
        ) from None
    if changes:
        restored.append("the run's uncommitted changes of code are applied")
    not_saved = [f"code: {name} was not saved: {why}" for name, why in code.left_out.items()]
    return restored, not_saved + _differences(code.sources, paths.project / "pipeline")


def _require_commit(provenance: RunProvenance, top: Path, at: str) -> None:
    commit, was_at = provenance.code.commit, provenance.code.prefix
    try:
        git(top, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError:
        raise UserError(
            f"commit {commit} of run {provenance.name} is not in this repository; `git fetch` first"
        ) from None
    if was_at != at:
        raise UserError(
            f"run {provenance.name} was trained in ./{was_at} of its repository, and this is "
            f"./{at}: restore it where the project is in the same folder"
        )


def _changed_tree(provenance: RunProvenance, top: Path, at: str) -> str:
    """Return the commit's tree with the run's changes, made without touching any file."""
    code = provenance.code
    apply = ["apply", "--cached", *([f"--directory={at}"] if at else []), "-"]
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git(top, "read-tree", code.commit, environment=index)
        if code.diff:
            git(top, *apply, stdin=code.diff, environment=index)
        return os.fsdecode(git(top, "write-tree", environment=index)).strip()


def _changes(commit: str, tree: str, top: Path) -> dict[str, tuple[str, str]]:
    """Return how (A, M, D, T) and to which blob a tree changes a commit, by path."""
    listed = names(git(top, "diff-tree", "-r", "-z", "--no-renames", commit, tree))
    # Each change is two fields, `:mode mode blob blob how` and the path.
    heads = [head.split() for head in listed[::2]]
    return {path: (head[4], head[3]) for path, head in zip(listed[1::2], heads, strict=True)}


def _require_room(changes: dict[str, tuple[str, str]], top: Path) -> None:
    """Raise UserError where a file that git does not know is in the way of one of the run's."""
    # What git knows is as it was committed, and git puts it away.
    known = set(names(git(top, "ls-files", "-z")))
    for name, (how, blob) in changes.items():
        if how != "A" or name in known:
            continue
        above = [parent.as_posix() for parent in Path(name).parents[:-1]]
        blocking = [other for other in above if other not in known and _is_no_folder(top / other)]
        if os.path.lexists(top / name) and not _is_replaceable(top / name, blob):
            blocking.append(name)
        if blocking:
            raise UserError(
                f"{top / blocking[0]} is in the way: the run had another file of that name, which "
                "git does not know; move it elsewhere, then restore again"
            )


def _is_replaceable(path: Path, blob: str) -> bool:
    """Tell whether it is what the run had, or a folder of what git knows alone."""
    if _is_no_folder(path):
        return is_blob(path, blob)
    return not git(path, "ls-files", "--others", "--", ".")


def _is_no_folder(path: Path) -> bool:
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir())


def _switch(commit: str, tree: str, changes: dict[str, tuple[str, str]], top: Path) -> str:
    """Move HEAD and the working tree; if the second half fails, the first is undone."""
    head, branch = line(top, "rev-parse", "HEAD"), line(top, "rev-parse", "--abbrev-ref", "HEAD")
    checkout = ("checkout", "--quiet", "--no-overwrite-ignore")
    if head != commit:
        git(top, *checkout, "--detach", commit)
    try:
        # First: a file may have taken a folder's place.
        for name in [name for name, (how, _blob) in changes.items() if how == "D"]:
            _remove(name, top)
        if kept := [name for name, (how, _blob) in changes.items() if how != "D"]:
            paths = b"".join(os.fsencode(name) + b"\0" for name in kept)
            lay = ("restore", f"--source={tree}", "--worktree", "--pathspec-from-file=-")
            git(top, *lay, "--pathspec-file-nul", stdin=paths, environment=LITERAL)
    except GitError:
        git(top, *checkout, "--force", branch if branch != "HEAD" else head)
        raise
    if head == commit:
        return f"code is commit {commit[:12]}"
    return f"code is commit {commit[:12]}; `git switch -` goes back"


def _remove(name: str, top: Path) -> None:
    """Remove a file that git knows, and the folders that it leaves empty, as git does."""
    try:
        (top / name).unlink(missing_ok=True)
    except OSError as error:
        raise GitError(f"{name} cannot be removed: {error.strerror}") from None
    for parent in list(Path(name).parents)[:-1]:
        with suppress(OSError):
            (top / parent).rmdir()


def _differences(expected: dict[str, str], package: Path) -> list[str]:
    """Say which modules that decide the numbers are not those that the run was trained with."""
    found = source_hashes(package)
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            lines.append(f"code: pipeline/{name} is in neither the run's commit nor its changes")
        elif name not in expected:
            lines.append(f"code: pipeline/{name} is here, but the run had none; remove it")
        elif expected[name] != found[name]:
            lines.append(
                f"code: pipeline/{name} is not, byte for byte, what the run was trained with "
                "(line ends, or a filter of git?)"
            )
    return lines
