"""What the bench measured: rows of tables, printed as Markdown and kept as JSON."""

import datetime
import json
from pathlib import Path
from typing import Any

from pipeline.storage import atomic

RESULTS = Path(__file__).with_name("results.json")
# A GPU's tables are of another machine, and absent until one has been had.
GPU_RESULTS = Path(__file__).with_name("gpu.json")
# A case that docs/speed.py looks for.
MEASURING = "`sample` and `evaluate` of a run together"
# A row says its table and its case; the rest is what was measured.
Row = dict[str, Any]


def as_markdown(rows: list[Row]) -> str:
    """Return the rows of one table as Markdown."""
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "table"))
    lines = [keys, ["---", *["---:"] * (len(keys) - 1)]]
    lines += [[str(row.get(key, "–")) for key in keys] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def value_rows(table: str, found: dict[str, tuple[float, str]]) -> list[Row]:
    """Return the rows of a table of values with their units."""
    return [
        {"table": table, "case": case, "value": value, "unit": unit}
        for case, (value, unit) in found.items()
    ]


def save(rows: list[Row], machine: str, path: Path) -> None:
    """Replace the tables that `rows` are of; others stay, with the machine that they are of."""
    now = {"machine": machine, "date": datetime.date.today().isoformat()}
    before = json.loads(path.read_text()) if path.exists() else {"measured": {}, "rows": []}
    tables = {row["table"] for row in rows}
    measured = before["measured"] | dict.fromkeys(sorted(tables), now)
    kept = [row for row in before["rows"] if row["table"] not in tables]
    # A row a line: what a new measurement changed is seen at a glance.
    heads = ",\n".join(f'  "{table}": {_text(measured[table])}' for table in sorted(measured))
    each = ",\n".join(f"  {_text(row)}" for row in (*rows, *kept))
    atomic.write_text(path, f'{{\n "measured": {{\n{heads}\n }},\n "rows": [\n{each}\n ]\n}}\n')


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
