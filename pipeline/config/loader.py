"""Read params.yaml, and say in a line or two what is wrong with it; its only reader."""

import io
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import UserError
from pipeline.config.schema import Config


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping as DVC reads it (YAML 1.2: `1e-3` is a number); UserError if it is none."""
    from ruamel.yaml import YAML, YAMLError

    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the project's folder, or restore it from git") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    try:
        document = YAML(typ="safe", pure=True).load_config(text)
    # ruamel raises plain ValueError and friends for malformed scalars (dates, numbers), not only YAMLError.
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}{where}: not valid YAML: {what}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected sections such as `study:` and `train:`, found {type(document).__name__}")
    return document


def dump_yaml(document: dict[str, Any]) -> str:
    """A mapping as the YAML text that `read_yaml` reads."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(document, text)
    return text.getvalue()


def load_config(path: Path = Path("params.yaml")) -> Config:
    """Read and check params.yaml. UserError names the key, the value and what is allowed."""
    document = read_yaml(path)
    try:
        params = Config.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from None
    for name, changes in params.variants.items():
        try:
            params.recipe(name)
        except ValidationError as error:
            raise UserError(f"{path}: {_explain(error, f'variants.{name}', changes)}") from None
    return params


def _explain(error: ValidationError, prefix: str = "", changes: dict[str, Any] | None = None) -> str:
    """The first complaint in one line, and how many more there are."""
    first, *others = error.errors(include_url=False)
    location = [str(part) for part in first["loc"] if not _is_type_tag(part)]
    if changes is not None and location and location[0] in changes:
        location.insert(0, prefix)
    elif changes is not None and not location:
        location = [prefix]
    # List indices read better as study.latent_dims[2].
    key = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(location))
    if first["type"] == "extra_forbidden":
        message = f"{key}: unknown key; remove it or check its spelling"
    elif first["type"] == "missing":
        message = f"{key}: missing; add it"
    else:
        what = first["msg"].removeprefix("Value error, ")
        what = what[0].lower() + what[1:]
        value = "" if first["type"] == "value_error" else f" (found {_shown(first['input'])})"
        message = f"{key}: {what}{value}" if key else f"{what}{value}"
    return message + (f"\n  and {len(others)} more" if others else "")


def _is_type_tag(part: int | str) -> bool:
    """Pydantic puts the tried member of a union into the location; a reader needs only the key."""
    return isinstance(part, str) and (part.startswith(("literal[", "constrained-", "nullable[")) or part == "float")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
