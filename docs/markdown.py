"""Say values in Markdown: what the pages' tables and sentences are made of."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent


class StaleClaimError(ValueError):
    """A sentence of the pages that the published numbers no longer support."""


def show(text: str) -> None:
    """Print a block's text between blank lines, as Markdown wants it beside comments."""
    sys.stdout.write(f"\n{text}\n\n")


def claim(holds: bool, sentence: str) -> None:
    """Raise StaleClaimError unless `holds`: then a person has to rewrite the sentence."""
    if not holds:
        raise StaleClaimError(f"the published numbers no longer show this: {sentence}")


def number(value: float | None, digits: int = 0) -> str:
    """Format with a true minus, thousands apart, and a dash for nothing."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:z,.{digits}f}".replace("-", "−")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """Build a Markdown table; all but the first `text_columns` columns are aligned right."""
    rule = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    return json.loads(path.read_text(encoding="utf-8"))


def listed(values: Iterable[object]) -> str:
    """Join values by commas."""
    return ", ".join(map(str, values))


def between(values: pd.Series, digits: int) -> str:
    """Say a range, or one value where both ends read the same."""
    least, most = number(values.min(), digits), number(values.max(), digits)
    return least if least == most else f"{least} to {most}"


def verdict(reached: bool) -> str:
    """Say whether an aim was reached."""
    return "reached" if reached else "missed"
