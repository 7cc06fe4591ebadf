"""A run's code: its commit, and as one patch what was not committed when it was trained.

Only this project's files are saved, also where it is a folder of a larger repository. Files that
git does not know are among them, and so is a module of pipeline/ that git ignores: a run imports it
all the same.
"""

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pipeline import UserError, first_line
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.config.sources import source_hashes
from pipeline.storage import atomic
from pipeline.storage.git import LITERAL, GitError, git, line, names, prefix
from pipeline.storage.reading import read_json

DIFF = "git.diff"
RECORD = "code.json"
PARAMS = "params.yaml"
UNKNOWN = "unknown"
# Not code: params.yaml is an artifact of its own, the others are results.
SCOPE = (".", ":(exclude)params.yaml", ":(exclude)dvc.lock", ":(exclude)reports")
# Also what git ignores: a module imports and reads it all the same.
PACKAGE = (":(glob)pipeline/**", ":(exclude,glob)**/__pycache__/**")
# What may be uploaded with a run. A larger file is data, and belongs to DVC.
MAX_FILE_BYTES = 1_000_000
MAX_TOTAL_BYTES = 10_000_000
MAX_NAMED = 20
# A tracking server is shared; such files are named by it and never sent.
SECRETS = (".env*", "*.pem", "*.key", ".netrc", ".pypirc")
logger = logging.getLogger(__name__)


class SavedCode(NamedTuple):
    """`diff` is a binary patch on `commit`, its paths relative to the project's folder `prefix`.

    `params` is params.yaml; `left_out` has reasons by path; `sources` the SHA-256 of each module
    that decided the numbers.
    """

    commit: str
    prefix: str
    diff: bytes
    params: bytes
    left_out: dict[str, str]
    sources: dict[str, str]

    @property
    def is_dirty(self) -> bool:
        """Whether the code is more than its commit."""
        return bool(self.diff or self.left_out)

    def files(self) -> dict[str, bytes]:
        """Return all of it as files by name, each in its own bytes, whatever encoding they have."""
        parts = self._asdict()
        files = {DIFF: parts.pop("diff"), PARAMS: parts.pop("params")}
        record = json.dumps(parts, indent=1, sort_keys=True) + "\n"
        return {name: content for name, content in files.items() if content} | {
            RECORD: record.encode()
        }


def capture_code(paths: Paths) -> SavedCode:
    """Take up the code as it is now; its commit is UNKNOWN where git knows none.

    A repository that git refuses to read is said; one that is not there is not.
    """
    project = paths.project
    sources = source_hashes(project / "pipeline")
    params = paths.params.read_bytes()
    try:
        commit = line(project, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        at = prefix(project)
    except GitError as error:
        if not _is_no_repository(project):
            logger.warning("git does not say what code this is (%s)", first_line(error)[:300])
        return SavedCode(UNKNOWN, "", b"", params, {}, sources)
    try:
        with _scratch_index(project) as index:
            chosen, left_out = _choose(project, _changed(project, index))
            left_out |= _stage(project, chosen, index)
            diff = _diff(project, index)
    except GitError as error:
        reason = f"git does not say what was changed ({first_line(error)[:300]})"
        logger.warning("%s; of this code only the commit is known", reason)
        return SavedCode(commit, at, b"", params, {".": reason}, sources)
    return SavedCode(commit, at, diff, params, left_out, sources)


def _is_no_repository(project: Path) -> bool:
    """Tell whether the reason is that nothing is, or was ever, committed here."""
    try:
        git(project, "rev-parse", "--git-dir")
    except GitError as error:
        return "not a git repository" in str(error) or "cannot be started" in str(error)
    try:
        return not git(project, "rev-parse", "--all").strip()
    except GitError:
        return False


@contextmanager
def _scratch_index(project: Path) -> Iterator[dict[str, str]]:
    """Lend an index of HEAD and a place for objects: the repository's own stay as they are."""
    # Whatever the path has in it, git takes the quoted form for one path.
    objects = str((project / line(project, "rev-parse", "--git-path", "objects")).resolve())
    quoted = '"' + objects.replace("\\", "\\\\").replace('"', '\\"') + '"'
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git(project, "read-tree", "HEAD", environment=index)
        _refresh(project, index)
        own = Path(folder) / "objects"
        own.mkdir()
        yield index | {
            "GIT_OBJECT_DIRECTORY": str(own),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted,
        }


def _refresh(project: Path, index: dict[str, str]) -> None:
    """Let the index know which files are as in HEAD."""
    known = names(git(project, "ls-files", "-z", "--", ".", environment=index))
    # Where git knows no file of the project, there is none to look at again.
    if not known:
        return
    try:
        git(project, "add", "--refresh", "--", ".", environment=index)
    except GitError:
        # A single file that a filter refuses ends it for all.
        for name in known:
            with suppress(GitError):
                git(project, "add", "--refresh", "--", name, environment=index | LITERAL)


def _changed(project: Path, index: dict[str, str]) -> list[str]:
    """List what is not as in HEAD, by its path in the project: tracked files first."""
    listed = ("--name-only", "-z", "--relative")
    tracked = names(git(project, "diff-files", *listed, "--", *SCOPE, environment=index))
    others = ("ls-files", "--others", "-z")
    package = names(git(project, *others, "--", *PACKAGE, environment=index))
    unknown = names(git(project, *others, "--exclude-standard", "--", *SCOPE, environment=index))
    return list(dict.fromkeys([*tracked, *package, *unknown]))


def _choose(project: Path, changed: list[str]) -> tuple[list[str], dict[str, str]]:
    """Part what is saved from what is left out, and why."""
    chosen, left_out, total = [], {}, 0
    for name in changed:
        size, reason = _size_or_reason(project / name)
        if reason is None and total + size > MAX_TOTAL_BYTES:
            reason = f"all changes have over {MAX_TOTAL_BYTES / 1e6:.0f} MB"
        if reason is None:
            total += size
            chosen.append(name)
        else:
            left_out[name] = reason
    if len(left_out) > MAX_NAMED:
        more = f"{len(left_out) - MAX_NAMED} more files"
        left_out = dict(list(left_out.items())[:MAX_NAMED]) | {"...": more}
    return chosen, left_out


def _size_or_reason(path: Path) -> tuple[int, str | None]:
    """Return a changed file's bytes, and why it is not saved, if so; a deleted file has none."""
    if path.is_symlink() or not path.exists():
        return 0, None
    if path.is_dir():
        return 0, "it is a repository of its own" if (path / ".git").exists() else None
    if any(path.match(pattern) for pattern in SECRETS):
        return 0, "its name is that of a secret"
    if not os.access(path, os.R_OK):
        return 0, "it cannot be read"
    size = path.stat().st_size
    too_large = f"it has {size / 1e6:.1f} MB, allowed: {MAX_FILE_BYTES / 1e6:.0f}"
    return size, too_large if size > MAX_FILE_BYTES else None


def _stage(project: Path, chosen: list[str], index: dict[str, str]) -> dict[str, str]:
    """Put files as they are now into the index; returns what git refuses, and why.

    Plumbing: no setting of a person changes it.
    """
    there = [name for name in chosen if os.path.lexists(project / name)]
    # A file that has become a folder is gone, and what is in the folder is there.
    files = [name for name in there if not _is_folder(project / name)]
    _update(project, [name for name in chosen if name not in files], "--force-remove", index)
    try:
        _update(project, files, "--add", index)
        return {}
    except GitError:
        refused = {}
        for name in files:
            try:
                _update(project, [name], "--add", index)
            except GitError as error:
                refused[name] = f"git refuses it ({first_line(error)[:100]})"
        return refused


def _update(project: Path, paths: list[str], how: str, index: dict[str, str]) -> None:
    listed = b"".join(os.fsencode(name) + b"\0" for name in paths)
    git(project, "update-index", how, "-z", "--stdin", stdin=listed, environment=index)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _diff(project: Path, index: dict[str, str]) -> bytes:
    """Return how the index differs from HEAD, whatever a person's settings are."""
    form = ("--patch", "--binary", "--full-index", "--unified=3", "--no-renames", "--no-color")
    plain = ("--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    command = ("diff-index", "--cached", *form, *plain, "--relative", "HEAD", "--", ".")
    return git(project, *command, environment=index)


def save_code(record: RunRecord, resumed: bool) -> None:
    """Keep today's code beside the run's checkpoints; a resumed run has it from its start."""
    folder = record.paths.code_record(record.fingerprint)
    if resumed and folder.exists():
        return
    code = capture_code(record.paths)
    for name, reason in code.left_out.items():
        logger.warning("%s is not saved with run %s: %s", name, record.run.name, reason)
    with atomic.folder(folder) as filling:
        for name, content in code.files().items():
            atomic.write_bytes(filling / name, content)


def load_code(folder: Path) -> SavedCode | None:
    """Read code that was kept; None where there is none, or it is damaged."""
    try:
        parts = {name: folder / name for name in (DIFF, PARAMS)}
        diff, params = (path.read_bytes() if path.exists() else b"" for path in parts.values())
        return SavedCode(diff=diff, params=params, **read_json(folder / RECORD))
    except (UserError, OSError, TypeError):
        return None
