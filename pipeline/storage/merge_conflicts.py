"""Files that a git merge left in conflict: noticed, and split into the two sides."""

import re
from pathlib import Path
from typing import NamedTuple

from pipeline.storage.git import GitError, git

MARKER = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?: .*)?\r?$", re.MULTILINE)
OURS, THEIRS = 2, 3  # git's numbers of the two sides of an unmerged file


class Sides(NamedTuple):
    """A file as this branch has it, and as the branch that was merged into it."""

    ours: str
    theirs: str


def first_marker(text: str) -> int | None:
    """Return the line of the first conflict marker, counted from 1; None if there is none."""
    start = re.search(r"^<{7}(?: |\r?$)", text, re.MULTILINE)
    return text.count("\n", 0, start.start()) + 1 if start else None


def sides(path: Path, text: str) -> Sides:
    """Return both sides of a file with conflict markers.

    From git's index where the file is unmerged: there they are whole. Markers that were committed
    have only the text, whose lines outside the conflicts are of both.
    """
    whole = [_from_index(path, number) for number in (OURS, THEIRS)]
    if whole[0] is not None and whole[1] is not None:
        return Sides(whole[0], whole[1])
    return split_markers(text)


def is_unmerged(path: Path) -> bool:
    """Tell whether git still holds more than one side of the file."""
    listed = _git(path, "ls-files", "--unmerged", "--", path.name)
    return bool(listed and listed.strip())


def split_markers(text: str) -> Sides:
    """Take the conflicts' first parts as ours, their last as theirs, and what is between as both's.

    The base that diff3 shows between `|||||||` and `=======` belongs to neither.
    """
    kept: dict[str, list[str]] = {"ours": [], "theirs": []}
    part = "both"
    after = {"<": "ours", "|": "base", "=": "theirs", ">": "both"}
    for line in text.splitlines(keepends=True):
        # Without a conflict a line of seven signs is no marker.
        if MARKER.match(line) and (line[0] == "<" or part != "both"):
            part = after[line[0]]
            continue
        for side, lines in kept.items():
            if part in (side, "both"):
                lines.append(line)
    return Sides("".join(kept["ours"]), "".join(kept["theirs"]))


def _from_index(path: Path, number: int) -> str | None:
    return _git(path, "show", f":{number}:./{path.name}")


def _git(path: Path, *arguments: str) -> str | None:
    """Return what git says in the file's folder; None if it fails or is not installed."""
    try:
        return git(path.resolve().parent, *arguments).decode("utf-8", "replace")
    except GitError:
        return None
