"""Artifacts read back: whole, or one clear line that says which file and what to do."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import UserError, first_line

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; UserError if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        return content
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None


def read_csv(path: Path) -> "pd.DataFrame":
    """Read a table with a header; UserError if the file is missing or damaged."""
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a safetensors file; UserError if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    missing = isinstance(error, FileNotFoundError)
    reason = "it does not exist" if missing else first_line(error)
    return UserError(f"{path} cannot be used: {reason}; run `dvc repro` to make it again")
