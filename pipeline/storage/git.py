"""Git asked in bytes, about the folder that is named, whatever a person's settings are."""

import os
import subprocess
from pathlib import Path

# Of a caller, for example a hook that runs this: they would point git at another repository.
INHERITED = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_INDEX_FILE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)
# Hooks (`dvc install` makes some) act on what is only looked at or is put right afterwards; the
# others change or refuse what is saved, applied or listed.
NEUTRAL = {
    "apply.ignoreWhitespace": "no",
    "apply.whitespace": "nowarn",
    "color.ui": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "true",
    "core.safecrlf": "false",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
}
# Paths are names, whatever signs of a pattern are in them.
LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
TIMEOUT = 120


class GitError(Exception):
    """What git refuses, in its own words."""


def git(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
) -> bytes:
    """Return what a git command in `folder` prints. Raises GitError if it fails."""
    settings = [word for name, value in NEUTRAL.items() for word in ("-c", f"{name}={value}")]
    inherited = {key: value for key, value in os.environ.items() if key not in INHERITED}
    try:
        done = subprocess.run(
            ["git", "--no-pager", *settings, *arguments],
            cwd=folder,
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT,
            env=inherited | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"} | (environment or {}),
        )
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took over {TIMEOUT} s") from None
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(said or f"git {arguments[0]} failed with exit status {done.returncode}")
    return done.stdout


def line(folder: Path, *arguments: str) -> str:
    """Return what a git command prints as one line of text. Raises GitError as `git` does."""
    return os.fsdecode(git(folder, *arguments)).removesuffix("\n")


def names(output: bytes) -> list[str]:
    """Split what git lists with `-z`."""
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def toplevel(folder: Path) -> Path:
    """Return the working tree that `folder` lies in. Raises GitError where there is none."""
    return Path(line(folder, "rev-parse", "--show-toplevel"))


def prefix(folder: Path) -> str:
    """Return where `folder` lies in its working tree: empty, or a path that ends with a slash."""
    return line(folder, "rev-parse", "--show-prefix")


def is_blob(path: Path, blob: str) -> bool:
    """Tell whether a file, or what a link says, is this blob of git's."""
    if path.is_symlink():
        target = os.fsencode(path.readlink())
        return os.fsdecode(git(path.parent, "hash-object", "--stdin", stdin=target)).strip() == blob
    return path.is_file() and line(path.parent, "hash-object", "--", path.name) == blob
