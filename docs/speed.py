"""Say in Markdown what `make bench` wrote: the tables of docs/performance.md.

benchmarks/results.json is of a machine without a GPU, benchmarks/gpu.json of one with it. While
nobody has had one, the GPU's tables say so.
"""

from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import GPU_RESULTS, MEASURING, RESULTS
from docs.markdown import listed, number, read_json, table, verdict

UNMEASURED = "unmeasured"
# The table of training speed on cores with bf16, for which the aims were set.
WITH_BF16 = "training_bf16"
# Training speed: what, the case in the bench's table, its column, the aim.
SPEED_AIMS = (
    ("one run, of the textbook loop", "one run, both cores", "of_textbook", 1.6),
    ("two runs, of the textbook loop", "2 runs side by side, one", "of_textbook", 2.5),
    ("one run, of pythae", "one run, both cores", "of_pythae", 1.8),
    ("two runs, of pythae", "2 runs side by side, one", "of_pythae", 1.8),
)


class GPUAim(NamedTuple):
    """A figure of one H100 or H200: which row of which table, `before` the CUDA graph, the aim."""

    what: str
    table: str
    row: dict[str, object]
    key: str
    before: float | None
    least: float
    aim: float


def training_aim(variant: str, before: float, least: float, aim: float) -> GPUAim:
    """Say what was aimed at in training a variant, images per second."""
    row = {"case": variant, "batch_size": 64, "step": "graph"}
    what = f"training `{variant}`, z = 128, batch 64, images/s"
    return GPUAim(what, "gpu_training", row, "images_per_second", before, least, aim)


GPU_AIMS = (
    training_aim("original", 13_400, 80_000, 150_000),
    training_aim("pca_refined", 9_200, 50_000, 100_000),
    GPUAim(f"{MEASURING}, s", "gpu_stages", {"case": MEASURING}, "value", 400, 40, 15),
    GPUAim("the whole study, min", "gpu_study", {}, "value", None, 15, 6),
)


def bench(name: str, path: Path = RESULTS) -> list[dict[str, Any]]:
    """Read one table of what the bench wrote; no rows if it has written none."""
    if not path.exists():
        return []
    return [row for row in read_json(path)["rows"] if row["table"] == name]


def bench_setting(path: Path = RESULTS) -> str:
    """Say where and when the bench was run; of several machines, which table is of which."""
    if not path.exists():
        return f"{UNMEASURED.capitalize()}: no machine with a GPU has run `make bench` yet."
    settings: dict[str, list[str]] = {}
    for name, made in read_json(path)["measured"].items():
        settings.setdefault(f"{made['machine']}, {made['date']}", []).append(f"`{name}`")
    if len(settings) == 1:
        return f"Measured on {next(iter(settings))}, by `make bench`."
    parts = "; ".join(f"{listed(names)} on {where}" for where, names in settings.items())
    return f"Measured by `make bench`: {parts}."


def training_speed(name: str = "training") -> str:
    """Tabulate images per second beside the textbook loop and pythae."""
    rows = [
        (
            row["case"],
            number(row["images_per_second"]),
            number(row["of_textbook"], 2),
            number(row.get("of_pythae"), 2),
        )
        for row in bench(name)
    ]
    return table(("", "images/s", "of the textbook", "of pythae 0.1.2"), rows)


def speed_aims() -> str:
    """Compare training speed with what was aimed at."""
    rows = []
    for what, case, key, aim in SPEED_AIMS:
        cases = [row for row in bench(WITH_BF16) if row["case"].startswith(case)]
        # Of one core, or without pythae, there is no such figure.
        found = cases[0].get(key) if cases else None
        reached = UNMEASURED if found is None else verdict(found >= aim)
        rows.append((what, number(aim, 1), number(found, 2), reached))
    return table(("", "aim", "measured", ""), rows)


def measured(*names: str, path: Path = RESULTS) -> str:
    """Tabulate tables of the bench whose rows are a value and its unit."""
    found = [row for name in names for row in bench(name, path)]
    rows = [(row["case"], f"{row['value']:g} {row['unit']}") for row in found]
    return table(("", "measured"), rows or [(UNMEASURED, "–")])


def gpu_training(path: Path = GPU_RESULTS) -> str:
    """Tabulate images per second on a GPU by each kind of step."""
    rows = [
        (
            f"`{row['case']}`",
            number(row["batch_size"]),
            row["step"],
            number(row["images_per_second"]),
            number(row["milliseconds_a_step"], 2),
            f"{number(row['of_peak'], 1)} %",
            number(row["start_seconds"], 1),
            number(row["gpu_memory_mib"]),
        )
        for row in bench("gpu_training", path)
    ]
    head = ("", "batch", "step", "images/s", "ms a step", "of peak", "s to start", "GPU, MiB")
    return table(head, rows or [(UNMEASURED, "–", "–", "–", "–", "–", "–", "–")])


def gpu_aims(path: Path = GPU_RESULTS) -> str:
    """Compare a GPU's figures with what was aimed at."""
    rows = []
    for aim in GPU_AIMS:
        found = [row for row in bench(aim.table, path) if aim.row.items() <= row.items()]
        value = found[0][aim.key] if found else None
        shown = UNMEASURED if value is None else number(value, int(value < 100))
        bounds = (aim.least, aim.aim)
        # More images a second are better, more seconds are not.
        sign = 1 if aim.aim > aim.least else -1
        reached = ["–" if value is None else verdict(sign * value >= sign * b) for b in bounds]
        least, best = map(number, bounds)
        rows.append((aim.what, number(aim.before), shown, least, reached[0], best, reached[1]))
    return table(("", "before", "measured", "at least", "", "aim", ""), rows)


def tracking_cost() -> str:
    """Tabulate the speed of a tracked training relative to an untracked one."""
    rows = [(row["case"], number(row["of_untracked"], 2)) for row in bench("tracking")]
    return table(("a training mirrored to", "of its images/s untracked"), rows)


def growth() -> str:
    """Tabulate time and memory against what one can ask for more of."""
    rows = [
        (
            row["case"],
            number(row["seconds_per_epoch"], 1),
            number(row["images_per_second"]),
            number(row["peak_memory_mib"]),
        )
        for row in bench("growth")
    ]
    return table(("", "s an epoch", "images/s", "peak memory, MiB"), rows)
