"""YAML mappings as DVC reads and writes them."""

import io
from pathlib import Path
from typing import Any

from pipeline import UserError
from pipeline.storage.merge_conflicts import first_marker


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping as DVC does (YAML 1.2: `1e-3` is a number).

    Raises UserError if the file is missing, not UTF-8, not YAML, or no mapping.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run this in the project's folder, or restore it from git"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """Parse the text of the file `path`. Raises UserError if it is not YAML, or no mapping."""
    from ruamel.yaml import YAML, YAMLError

    if (line := first_marker(text)) is not None:
        raise UserError(
            f"{path} line {line}: a git merge left its conflict here; keep what you want of both "
            f"sides, remove the lines `<<<<<<<`, `=======`, `>>>>>>>`, then `git add {path.name}`"
        )
    try:
        document = YAML(typ="safe", pure=True).load(text)
    # ruamel raises ValueError and its like for malformed dates and numbers, not only YAMLError.
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}{where}: not valid YAML: {what}") from None
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise UserError(f"{path}: expected sections such as `grid:` and `train:`, found {kind}")
    return document


def dump_yaml(document: dict[str, Any]) -> str:
    """Return a mapping as the YAML text that `read_yaml` reads."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(document, text)
    return text.getvalue()
