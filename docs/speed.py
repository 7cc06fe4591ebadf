"""Say in Markdown what benchmarks/results.json holds: the tables of docs/performance.md."""

from typing import Any

from docs.markdown import ROOT, number, read_json, table, verdict

BENCHMARKS = ROOT / "benchmarks" / "results.json"
# Training speed: what, the case in the bench's table, its column, the aim.
SPEED_AIMS = (
    ("one run, of the textbook loop", "one run, both cores", "of_textbook", 1.6),
    ("two runs, of the textbook loop", "2 runs side by side, one", "of_textbook", 2.5),
    ("one run, of pythae", "one run, both cores", "of_pythae", 1.8),
    ("two runs, of pythae", "2 runs side by side, one", "of_pythae", 1.8),
)


def bench(name: str) -> list[dict[str, Any]]:
    """Read one table of benchmarks/results.json."""
    return [row for row in read_json(BENCHMARKS)["rows"] if row["table"] == name]


def bench_setting() -> str:
    """Say where, when and by which command the bench was run."""
    made = read_json(BENCHMARKS)
    return f"Measured on {made['machine']}, {made['date']}, by `{made['command']}`."


def training_speed() -> str:
    """Tabulate images per second beside the textbook loop and pythae."""
    rows = [
        (
            row["case"],
            number(row["images_per_second"]),
            number(row["of_textbook"], 2),
            number(row["of_pythae"], 2),
        )
        for row in bench("training")
    ]
    return table(("", "images/s", "of the textbook", "of pythae 0.1.2"), rows)


def speed_aims() -> str:
    """Compare training speed with what was aimed at."""
    rows = []
    for what, case, key, aim in SPEED_AIMS:
        found = next(row[key] for row in bench("training") if row["case"].startswith(case))
        rows.append((what, number(aim, 1), number(found, 2), verdict(found >= aim)))
    return table(("", "aim", "measured", ""), rows)


def speed_without_bf16() -> str:
    """Say what a processor without bf16 gives."""
    cases = [f"{row['case']} {number(row['of_textbook'], 2)}" for row in bench("training_avx2")]
    return f"Without bf16 (AVX2), of the textbook loop: {'; '.join(cases)}."


def measured(name: str) -> str:
    """Tabulate a table of the bench whose rows are a value and its unit."""
    rows = [(row["case"], f"{row['value']:g} {row['unit']}") for row in bench(name)]
    return table(("", "measured"), rows)


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
