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
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline import UserError, first_line
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.config.sources import source_hashes
from pipeline.storage import atomic
from pipeline.storage.git import GitError, git, line, names, prefix
from pipeline.storage.reading import read_json

DIFF = "git.diff"
RECORD = "code.json"
PARAMS = "params.yaml"
UNKNOWN = "unknown"
# Not code: params.yaml is an artifact of its own, the others are results.
SCOPE = (".", ":(exclude)params.yaml", ":(exclude)dvc.lock", ":(exclude)reports")
MODULES = ":(glob)pipeline/**/*.py"
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
        with _scratch_index(project) as index:
            chosen, left_out = _choose(project, _changed(project, index))
            diff = _diff(project, chosen, index)
        return SavedCode(commit, prefix(project), diff, params, left_out, sources)
    except GitError as error:
        if not _is_no_repository(project):
            logger.warning("git does not say what code this is (%s)", first_line(error)[:300])
        return SavedCode(UNKNOWN, "", b"", params, {}, sources)


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
        # Where git knows no file of the project, there is none to look at again.
        if git(project, "ls-files", "-z", "--", ".", environment=index):
            git(project, "add", "--refresh", "--", ".", environment=index)
        own = Path(folder) / "objects"
        own.mkdir()
        yield index | {
            "GIT_OBJECT_DIRECTORY": str(own),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted,
        }


def _changed(project: Path, index: dict[str, str]) -> list[str]:
    """List what is not as in HEAD, by its path in the project: tracked files first."""
    listed = ("--name-only", "-z", "--relative")
    tracked = names(git(project, "diff-files", *listed, "--", *SCOPE, environment=index))
    others = ("ls-files", "--others", "-z")
    modules = names(git(project, *others, "--", MODULES, environment=index))
    unknown = names(git(project, *others, "--exclude-standard", "--", *SCOPE, environment=index))
    return list(dict.fromkeys([*tracked, *modules, *unknown]))


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
        return 0, "it is a repository of its own"
    if any(path.match(pattern) for pattern in SECRETS):
        return 0, "its name is that of a secret"
    if not os.access(path, os.R_OK):
        return 0, "it cannot be read"
    size = path.stat().st_size
    too_large = f"it has {size / 1e6:.1f} MB, allowed: {MAX_FILE_BYTES / 1e6:.0f}"
    return size, too_large if size > MAX_FILE_BYTES else None


def _diff(project: Path, chosen: list[str], index: dict[str, str]) -> bytes:
    """Return these files' changes since HEAD. Plumbing: no setting of a person changes it."""
    listed = b"".join(os.fsencode(name) + b"\0" for name in chosen)
    git(
        project,
        "update-index",
        "--add",
        "--remove",
        "-z",
        "--stdin",
        stdin=listed,
        environment=index,
    )
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
