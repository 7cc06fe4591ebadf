"""Whose pictures a page shows at once, and whose it folds: collapsed runs show nothing in them."""

from typing import Any, NamedTuple

import pandas as pd

from pipeline.report.diagnosis import without_collapse
from pipeline.report.i18n import Message, _n
from pipeline.report.tables import CELL


class Fold(NamedTuple):
    """Names of runs in the study's order."""

    shown: list[str]
    """The first seed of each variant and latent size that did not collapse."""
    seeds: list[str]
    """Other seeds of those."""
    collapsed: list[str]
    overview: list[str]
    """The shown runs, and one collapsed run of each variant to show what that looks like."""
    best_samples: list[str]
    """The shown run whose samples are nearest to the test images, if there is one."""

    @property
    def collapsed_line(self) -> Message:
        """Stand for the pictures of collapsed runs."""
        return _n(
            "{count} collapsed run, which shows nothing here: {runs}",
            "{count} collapsed runs, which show nothing here: {runs}",
            len(self.collapsed),
            runs=", ".join(self.collapsed),
        )

    @property
    def seeds_line(self) -> Message:
        """Stand for the pictures of further seeds."""
        return _n("{count} run of another seed", "{count} runs of other seeds", len(self.seeds))


def fold(summary: pd.DataFrame) -> Fold:
    """Sort the runs of a study into those shown at once and those one click away."""
    used = without_collapse(summary)
    shown = list(used.drop_duplicates(CELL)["run"])
    collapsed = summary[summary["collapse_label"] == "collapsed"]
    examples = set(collapsed.drop_duplicates("variant")["run"])
    names = list(summary["run"])
    best = [str(used.loc[shown, "fd_samples"].idxmin())] if shown else []
    return Fold(
        shown,
        [run for run in used["run"] if run not in shown],
        list(collapsed["run"]),
        [run for run in names if run in shown or run in examples],
        best,
    )


def split_charts(summary: pd.DataFrame, charts: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Put the charts of variants that learned something first: one is shown, the rest is folded."""
    learned = list(without_collapse(summary)["variant"].unique())
    ordered = [charts[name] for name in learned]
    ordered += [chart for name, chart in charts.items() if name not in learned]
    at_once = 1 if learned else 0
    return ordered[:at_once], ordered[at_once:]
