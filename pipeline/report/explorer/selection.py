"""In which order runs go into the explorer: the telling ones first, until its budget is spent."""

import pandas as pd

from pipeline.report.diagnosis import without_collapse


def telling_order(summary: pd.DataFrame) -> list[str]:
    """Order runs: a pair of each latent size, the smallest first, the largest second; then others.

    Whether size matters is seen at the ends. The others follow in the study's order.
    """
    sizes = sorted(summary["latent_dim"].unique())
    names: list[str] = []
    for size in [*sizes[:1], *sizes[:0:-1][:1], *sizes[1:-1]]:
        names += telling_pair(summary[summary["latent_dim"] == size])
    return list(dict.fromkeys([*names, *summary["run"]]))


def telling_pair(runs: pd.DataFrame) -> list[str]:
    """Return the first run that collapsed, or else the worst, and the best that did not.

    The best reconstructs best. One name if there is one run.
    """
    by_psnr = runs.sort_values("psnr_db", kind="stable")
    collapsed = runs[runs["collapse_label"] == "collapsed"]
    used = without_collapse(by_psnr)
    wrong = (by_psnr if collapsed.empty else collapsed)["run"].iloc[0]
    right = (by_psnr if used.empty else used)["run"].iloc[-1]
    return list(dict.fromkeys([wrong, right]))
