"""Read params.yaml, and say shortly what is wrong with it; its only reader."""

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.renamed import list_renamed_variants, list_renames
from pipeline.storage.yaml_io import read_yaml


def load_config(path: Path = Path("params.yaml")) -> Config:
    """Read and check params.yaml. Raises UserError with the key, the value and what is allowed."""
    document = read_yaml(path)
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error, document)}") from None
    for name in config.variants:
        try:
            config.recipe(name)
        except ValidationError as error:
            raise UserError(f"{path}: {_explain(error, document, name)}") from None
    try:
        _ = config.runs
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error, document)}") from None
    return config


def _explain(error: ValidationError, document: dict[str, Any], variant: str | None = None) -> str:
    """List what was renamed, if anything was; else say the first complaint and how many follow."""
    if renames := list_renames(document):
        separator = " " if len(renames) == 1 else "\n  "
        return separator.join(["renamed since this file was written:", *renames])
    by_key: dict[str, list[Any]] = {}
    for complaint in error.errors(include_url=False):
        key = _key_of(complaint, document, variant)
        by_key.setdefault(key, []).append(complaint)
    key, complaints = next(iter(by_key.items()))
    explained = _complain(key, complaints)
    if complaints[0]["loc"] == () and (renamed := list_renamed_variants(document)):
        return f"{explained}\n  renamed: {', '.join(renamed)}"
    others = len(by_key) - 1
    return explained + (f"\n  and {others} more" if others else "")


def _key_of(complaint: Any, document: dict[str, Any], variant: str | None) -> str:
    """Return the dotted key that a complaint of pydantic is about, as a reader finds it."""
    location = [*complaint["loc"]]
    # The tried member of a union is part of a location, too.
    while location and _is_type_tag(location[-1]) and complaint["type"] != "extra_forbidden":
        location.pop()
    if variant is not None:
        changes = document["variants"][variant]
        own = not location or location[0] in changes
        location = ["variants", variant, *location] if own else location
    # List indices read better as grid.latent_dims[2].
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(map(str, location)))


def _complain(key: str, complaints: list[Any]) -> str:
    """Say what pydantic complains of at one key as a sentence."""
    first = complaints[0]
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or check its spelling"
    if first["type"] == "missing":
        return f"{key}: missing; add it"
    if first["type"] == "value_error":
        what = first["msg"].removeprefix("Value error, ")
        return f"{key}: {what}" if key else what
    if first["type"] == "model_type":
        return f"{key}: should be a section with keys of its own (found {_shown(first['input'])})"
    # Each member of a union has its complaint.
    allowed = " or ".join(c["msg"].removeprefix("Input should be ") for c in complaints)
    if all(c["msg"].startswith("Input should be ") for c in complaints):
        return f"{key}: should be {allowed} (found {_shown(first['input'])})"
    return f"{key}: {allowed[0].lower()}{allowed[1:]} (found {_shown(first['input'])})"


def _is_type_tag(part: int | str) -> bool:
    """Tell whether a part of a location names a type that pydantic tried, not a key."""
    tags = ("literal[", "constrained-", "nullable[")
    return isinstance(part, str) and (part.startswith(tags) or part == "float")


def _shown(value: object) -> str:
    """Return the value as Python writes it, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
