"""Tables as the pages show them: columns that say what they hold, raw values to sort by, text."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from pipeline.report.diagnosis import LABELS
from pipeline.report.i18n import NOTHING, Message
from pipeline.report.metrics import REGISTRY, TABLES, in_table

NARROW_SPACE = "\u202f"  # one that does not break, and no comma: a decimal point in Ukrainian


@dataclass(frozen=True)
class Column:
    """One column: its key in the frame, its head, and how its numbers are shown."""

    key: str
    title: Message
    unit: Message = NOTHING
    description: Message = NOTHING
    digits: int = 4
    numeric: bool = True


class Cell(NamedTuple):
    """A value to sort by, and its text."""

    value: Any
    text: Message | str


class Row(NamedTuple):
    """A run's name, empty where the row is of no single run, and its cells."""

    run: str
    cells: list[Cell]


class Table:
    """Some columns of a frame, one row for each of its rows."""

    def __init__(self, frame: pd.DataFrame, columns: Iterable[Column]) -> None:
        self.columns = list(columns)
        runs = frame["run"] if "run" in frame else [""] * len(frame)
        records = frame.reindex(columns=[column.key for column in self.columns]).to_dict("records")
        self.rows = [
            Row(run, [_cell(column, record[column.key]) for column in self.columns])
            for run, record in zip(runs, records, strict=True)
        ]


def run_table(summary: pd.DataFrame, name: str) -> Table:
    """Return the table `name` of all runs."""
    metrics = [*in_table("run"), *in_table(name)]
    return Table(summary, [metric_column(metric.key, summary) for metric in metrics])


def run_tables(summary: pd.DataFrame) -> dict[str, Table]:
    """Return every table of all runs, by name."""
    return {name: run_table(summary, name) for name in TABLES}


def metric_column(key: str, frame: pd.DataFrame) -> Column:
    """Return the column of one metric."""
    metric = REGISTRY[key]
    numeric = key not in frame or pd.api.types.is_numeric_dtype(frame[key])
    return Column(key, metric.title, metric.unit, metric.description, metric.digits, numeric)


def format_number(value: float | None, digits: int) -> str:
    """Write a number with its thousands apart, nothing as a dash."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:z,.{digits}f}".replace(",", NARROW_SPACE)


def _cell(column: Column, value: Any) -> Cell:
    if not isinstance(value, str):
        return Cell(value, format_number(value, column.digits))
    return Cell(value, LABELS.get(value, value) if column.key == "collapse_label" else value)
