"""Print the reference pages: parameters from their schema, metrics from their registry."""

import re
from typing import Any

from ruamel.yaml import YAML

from docs.markdown import ROOT, number, table
from pipeline.config.grid import Config
from pipeline.report.metric import Metric
from pipeline.report.metrics import REGISTRY

PARAMS = ROOT / "params.yaml"
BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minItems": "at least",
    "maxItems": "at most",
}


def configuration() -> str:
    """Print a table for each section of params.yaml but `variants`."""
    schema = Config.model_json_schema()
    shipped = YAML(typ="safe", pure=True).load(PARAMS)
    parts = []
    for section, field in schema["properties"].items():
        if "$ref" not in field:  # `variants` is a mapping of names and has a table of its own
            continue
        model = resolve(field, schema)
        rows = field_rows(section, model, shipped[section], schema)
        parts += [f"## {section}", model.get("description", ""), table(HEAD, rows, len(HEAD))]
    return "\n\n".join(part for part in parts if part)


HEAD = ("key", "allowed", "shipped", "what it is")


def field_rows(
    prefix: str, model: dict[str, Any], values: dict[str, Any], schema: dict[str, Any]
) -> list[tuple[str, str, str, str]]:
    """List a section's keys, those of nested sections by their full names."""
    rows = []
    for name, field in model["properties"].items():
        key, value = f"{prefix}.{name}", values[name]
        if "$ref" in field:
            rows += field_rows(key, resolve(field, schema), value, schema)
        else:
            rows.append((f"`{key}`", allowed(field), f"`{as_yaml(value)}`", described(field)))
    return rows


def bound(value: float) -> str:
    """Write a bound; of very small and large ones the power of ten."""
    return number(value) if value == 0 or 1e-3 < abs(value) < 1e10 else f"{value:g}"


def resolve(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Look up the definition that a field refers to."""
    return schema["$defs"][field["$ref"].rsplit("/", 1)[-1]]


def allowed(field: dict[str, Any]) -> str:
    """Say in words what JSON Schema allows for a value."""
    if "anyOf" in field:
        return " or ".join(allowed(option) for option in field["anyOf"])
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "anything")
    bounds = [f"{sign} {bound(field[key])}" for key, sign in BOUNDS.items() if key in field]
    if kind == "array":
        return "; ".join([f"list of {allowed(field['items'])}", *bounds])
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "null":
        return "`null`"
    return " ".join([{"string": "text"}.get(kind, kind), ", ".join(bounds)]).strip()


def described(field: dict[str, Any]) -> str:
    """Take a field's description, with what would break a table escaped."""
    return field.get("description", "").replace("|", "\\|")


def as_yaml(value: object) -> str:
    """Spell a value as params.yaml does."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def variants() -> str:
    """Tabulate what each variant changes, with the comment beside its name in params.yaml."""
    text = PARAMS.read_text(encoding="utf-8")
    defined = YAML(typ="safe", pure=True).load(PARAMS)["variants"]
    rows = []
    for name, changes in defined.items():
        comment = re.search(rf"^  {name}:[^#\n]*# *(.+)$", text, re.MULTILINE)
        spelled = "<br>".join(f"`{key}: {as_yaml(inner)}`" for key, inner in changes.items())
        what = comment[1].replace("|", "\\|") if comment else "–"
        rows.append((f"`{name}`", what, spelled or "nothing"))
    return table(("variant", "what it is", "what it changes"), rows, 3)


def _described(metric: Metric) -> str:
    source = f" ({metric.source})" if metric.source else ""
    return f"{metric.description}{source}"


def metrics() -> str:
    """Print a table of the registry for each table of the report, in the registry's order."""
    better = {True: "greater", False: "smaller", None: "–"}
    groups = dict.fromkeys(metric.table for metric in REGISTRY.values())
    parts = []
    for group in groups:
        rows = [
            (
                f"`{metric.key}`",
                str(metric.title),
                str(metric.unit) or "–",
                str(metric.digits),
                better[metric.greater_is_better],
                _described(metric).replace("|", "\\|"),
            )
            for metric in REGISTRY.values()
            if metric.table == group
        ]
        head = ("key", "title", "unit", "digits", "better", "what it is")
        parts += [f"## {group}", table(head, rows, len(head))]
    return "\n\n".join(parts)
