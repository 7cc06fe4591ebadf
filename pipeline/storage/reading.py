"""JSON and CSV artefacts read back: whole, or one clear line that says which file and what to do."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import UserError


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; UserError if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        return content
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None


def read_csv(path: Path) -> pd.DataFrame:
    """A table with a header; UserError if the file is missing or damaged."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = "it does not exist" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
    return UserError(f"{path} cannot be used: {reason}; run `dvc repro` to make it again")
