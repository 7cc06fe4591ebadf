"""Tables as the pages show them: columns that say what they hold, raw values to sort by, text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from pipeline.report.diagnosis import LABELS
from pipeline.report.i18n import NOTHING, Message, _
from pipeline.report.image_sets import IMAGE_SETS, PRIORS
from pipeline.report.metrics import REGISTRY, TABLES, in_table

NARROW_SPACE = "\u202f"  # one that does not break, and no comma: a decimal point in Ukrainian
CELL = ["variant", "latent_dim"]
# What each table shows at once beside them: eight columns fit a page. The rest is in ALL_COLUMNS.
SHOWN = {
    "latents": (
        "collapse_label",
        "active_units",
        "test_kl",
        "shuffle_gain",
        "mutual_information",
        "probe_accuracy_z",
    ),
    "quality": (
        "psnr_db",
        "pca_psnr_db",
        "ssim",
        "explained_information",
        "bits_per_dim",
        "ppca_bits_per_dim",
    ),
    "sets": (*(f"fd_{images}" for images in IMAGE_SETS), "best_prior", "nn_distance_ratio"),
    "controls": (
        "collapse_label",
        "test_kl",
        "fd_samples",
        "fd_null_code",
        "code_cycle",
        "psnr_gap_db",
    ),
    "coverage": (
        "precision_reconstruction",
        "recall_reconstruction",
        "coverage_reconstruction",
        "precision_samples",
        "recall_samples",
        "coverage_samples",
    ),
    "cost": ("num_params", "forward_flops", "train_seconds", "images_per_second"),
}
# Metrics of other tables that a table shows, too: beside images what they prove.
BORROWED = {
    "controls": (
        "collapse_label",
        "active_units",
        "test_kl",
        "probe_accuracy_z",
        "psnr_db",
        "best_prior",
        "fd_samples",
        "patch_fd_samples",
    )
}
# How values that are words are called.
WORDS: dict[str, Mapping[str, Message]] = {
    "collapse_label": LABELS,
    "best_prior": {prior: short for prior, (short, _full) in PRIORS.items()},
}


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
    """Some columns of a frame, one row for each of its rows; `KEY_spread` is beside KEY."""

    def __init__(self, frame: pd.DataFrame, columns: Iterable[Column]) -> None:
        self.columns = list(columns)
        self.rows = []
        for record in frame.to_dict("records"):
            run = record.get("run", "")
            cells = [_cell(column, record) for column in self.columns]
            self.rows.append(Row(run if isinstance(run, str) else "", cells))


class RunTable(NamedTuple):
    """What a table of runs shows at once, means over seeds, and all of it, a row for each run."""

    shown: Table
    rest: Table | None
    """None where it would show nothing more."""


def run_tables(summary: pd.DataFrame, rivals: pd.DataFrame) -> dict[str, RunTable]:
    """Return every table of all runs, by name; rivals stand below the runs.

    A column without a number is left out, and a table without a column of its own.
    """
    means = over_seeds(summary)
    tables = {}
    for name in TABLES:
        own = measured(summary, [metric.key for metric in in_table(name)])
        if not own:
            continue
        keys = [*measured(summary, BORROWED.get(name, ())), *by_image_set(own)]
        shown = measured(summary, SHOWN[name])
        more = not set(keys) <= set(shown) or summary["seed"].nunique() > 1
        rest = [*CELL, "seed", *keys]
        tables[name] = RunTable(
            _table(means, rivals, [*CELL, *shown]),
            _table(summary, rivals, rest) if more else None,
        )
    return tables


def measured(summary: pd.DataFrame, keys: Iterable[str]) -> list[str]:
    """Return those of the metrics that a run of the study has."""
    return [key for key in keys if key in summary and summary[key].notna().any()]


def over_seeds(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each variant and latent size: means over seeds, and their `KEY_spread`.

    Where there is one seed, a row keeps its run's name.
    """
    cells = summary.groupby(CELL, sort=False)
    numbers = summary.select_dtypes("number").columns.drop(["latent_dim", "seed"])
    parts = [cells[list(numbers)].mean()]
    parts += [cells[key].agg(count_words, WORDS[key]) for key in WORDS if key in summary]
    if summary["seed"].nunique() > 1:
        parts.append(cells[list(numbers)].std().add_suffix("_spread"))
    elif "run" in summary:
        parts.append(cells["run"].first())
    return pd.concat(parts, axis=1).copy().reset_index()


def count_words(values: pd.Series, words: Mapping[str, Message]) -> Message | str:
    """Name the value that all seeds have, else how many have which."""
    counts = values.value_counts(sort=False)
    if len(counts) == 1:
        return str(values.iloc[0])
    parts = [_("{count} {label}", count=n, label=words.get(str(k), k)) for k, n in counts.items()]
    text = ", ".join(f"{{part{index}}}" for index in range(len(parts)))
    return Message(text, {f"part{index}": part for index, part in enumerate(parts)})


def by_image_set(keys: list[str]) -> list[str]:
    """Put the measures of one set of images together: no precision without its recall beside it."""
    sets = list(IMAGE_SETS)

    def place(key: str) -> int:
        return next((i for i, images in enumerate(sets) if key.endswith(f"_{images}")), len(sets))

    return sorted(keys, key=place) if any(key.startswith("precision") for key in keys) else keys


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


def _table(frame: pd.DataFrame, rivals: pd.DataFrame, keys: list[str]) -> Table:
    """Return these columns of the runs and, below, of the rivals that have a number in one."""
    columns = [metric_column(key, frame) for key in keys]
    measured = [key for key in keys if key not in (*CELL, "seed")]
    has_number = rivals.reindex(columns=measured).notna().any(axis=1)
    records = [*frame.to_dict("records"), *rivals[has_number].to_dict("records")]
    return Table(pd.DataFrame(records), columns)


def _cell(column: Column, record: dict[str, Any]) -> Cell:
    """Return a column's cell of one row of a frame."""
    value = record.get(column.key)
    if isinstance(value, Message):
        return Cell(None, value)
    if isinstance(value, str):
        return Cell(None, WORDS.get(column.key, {}).get(value, value))
    text = format_number(value, column.digits)
    spread = record.get(f"{column.key}_spread")
    if spread is not None and not pd.isna(spread):
        text = f"{text} ± {format_number(spread, column.digits)}"
    if column.key == "mutual_information" and is_at_bound(value, record, column.digits):
        return Cell(value, _("at least {number}", number=text))
    return Cell(value, text)


def is_at_bound(value: Any, record: dict[str, Any], digits: int) -> bool:
    """Whether an estimate of mutual information stands at the most that its images allow."""
    bound = record.get("mutual_information_bound")
    return bound is not None and bool(value >= bound - 0.5 * 10**-digits)
