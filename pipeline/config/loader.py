"""Read params.yaml, and say in a line or two what is wrong with it; its only reader."""

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.renamed import VARIANTS, new_key, new_value
from pipeline.storage.yaml_io import read_yaml


def load_config(path: Path = Path("params.yaml")) -> Config:
    """Read and check params.yaml. Raises UserError with the key, the value and what is allowed."""
    document = read_yaml(path)
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}{_old_variants(document)}") from None
    for name, changes in config.variants.items():
        try:
            config.recipe(name)
        except ValidationError as error:
            raise UserError(f"{path}: {_explain(error, f'variants.{name}', changes)}") from None
    return config


def _explain(
    error: ValidationError, prefix: str = "", changes: dict[str, Any] | None = None
) -> str:
    """Put the first complaint in one line, and how many more there are."""
    complaints = error.errors(include_url=False)
    # A renamed section is missing under its new name, too: its old name says more.
    first = next((c for c in complaints if c["type"] == "extra_forbidden"), complaints[0])
    location = [str(part) for part in first["loc"] if not _is_type_tag(part)]
    if changes is not None and location and location[0] in changes:
        location.insert(0, prefix)
    elif changes is not None and not location:
        location = [prefix]
    # List indices read better as grid.latent_dims[2].
    key = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(location))
    others = len(complaints) - 1
    return _complaint(key, first) + (f"\n  and {others} more" if others else "")


def _complaint(key: str, complaint: Any) -> str:
    """Say one of pydantic's complaints about `key` as a sentence."""
    if complaint["type"] == "extra_forbidden":
        if renamed := new_key(key):
            return f"{key}: renamed; today it is {renamed}"
        return f"{key}: unknown key; remove it or check its spelling"
    if complaint["type"] == "missing":
        return f"{key}: missing; add it"
    what = complaint["msg"].removeprefix("Value error, ")
    what = what[0].lower() + what[1:]
    if complaint["type"] == "value_error":
        return f"{key}: {what}" if key else what
    value = complaint["input"]
    renamed = new_value(key, value)
    return f"{key}: {what} (found {_shown(value)}{f', today {renamed!r}' if renamed else ''})"


def _old_variants(document: dict[str, Any]) -> str:
    """Name what the grid's variants are called today, where an old file lists them."""
    grid = document.get("grid") or document.get("study")
    listed = grid.get("variants") if isinstance(grid, dict) else None
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    renamed = [f"{name} is {VARIANTS[name]}" for name in names if name in VARIANTS]
    return f"\n  variants renamed: {', '.join(renamed)}" if renamed else ""


def _is_type_tag(part: int | str) -> bool:
    """Pydantic puts the tried member of a union into the location; a reader needs only the key."""
    tags = ("literal[", "constrained-", "nullable[")
    return isinstance(part, str) and (part.startswith(tags) or part == "float")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
