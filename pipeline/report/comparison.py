"""What each variant gains over a baseline of its latent size, and what it costs."""

from typing import Any

import pandas as pd

from pipeline.report.conclusions import SAME_PSNR_DB
from pipeline.report.i18n import Message, _
from pipeline.report.metrics import REGISTRY
from pipeline.report.tables import CELL, Column, RunTable, Table, metric_column

COMPARED = ("psnr_db", "bits_per_dim", "fd_reconstruction", "fd_samples")
COSTS = ("num_params", "forward_flops")


def compare_to_baseline(summary: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return a row for each variant and latent size, means over the seeds, the baseline's too.

    `fd_samples` is the best prior's. `KEY_gain` is the difference to the baseline in the unit of
    KEY, positive where better; `KEY_ratio` a cost relative to the baseline's; `spread` the
    standard deviation of PSNR over seeds.
    """
    cells = summary.groupby(["variant", "latent_dim"], sort=False)
    table = cells[["active_units", *COMPARED, *COSTS]].mean()
    sizes = table.index.get_level_values("latent_dim")
    base = table.xs(baseline).reindex(sizes).set_axis(table.index)
    for key in COMPARED:
        sign = 1 if REGISTRY[key].greater_is_better else -1
        table[f"{key}_gain"] = sign * (table[key] - base[key]) + 0.0  # no negative zero
    for key in COSTS:
        table[f"{key}_ratio"] = table[key] / base[key]
    # NaN, that of one seed, is no spread that a difference could hide in.
    table["spread"] = cells["psnr_db"].std().fillna(0.0)
    table["num_seeds"] = cells.size()
    return table.reset_index()


def comparison_table(compared: pd.DataFrame) -> RunTable:
    """Return the gains and costs, and the comparison with each metric beside its gain."""
    cell = [metric_column(key, compared) for key in CELL]
    gains = [_gain_column(key) for key in COMPARED]
    costs = [_ratio_column(key) for key in COSTS]
    full = [*cell, metric_column("active_units", compared)]
    for key, gain in zip(COMPARED, gains, strict=True):
        full += [metric_column(key, compared), gain]
    return RunTable(Table(compared, [*cell, *gains, *costs]), Table(compared, [*full, *costs]))


def describe_gains(compared: pd.DataFrame, baseline: str) -> list[Message]:
    """Say whether each variant reconstructs better than the baseline, and at what cost."""
    spread = compared[compared["variant"] == baseline].set_index("latent_dim")["spread"]
    others = compared[compared["variant"] != baseline]
    return [
        _describe_gain(row, baseline, float(spread[row.latent_dim])) for row in others.itertuples()
    ]


def summarize_gains(compared: pd.DataFrame, baseline: str) -> list[Message]:
    """Say in a sentence each which variants reconstruct better, worse or alike, beyond noise.

    Of one seed each nobody knows the noise, and a fixed difference takes its place.
    """
    spread = compared[compared["variant"] == baseline].set_index("latent_dim")["spread"]
    found: dict[str, list[str]] = {"better": [], "worse": [], "alike": []}
    for row in compared[compared["variant"] != baseline].itertuples():
        size = f" {row.latent_dim}" if compared["latent_dim"].nunique() > 1 else ""
        outcome = _outcome(row, float(spread[row.latent_dim]))
        found[outcome].append(f"**{row.variant}**{size} ({row.psnr_db_gain:+z.2f})")
    better = _("Better than {baseline} beyond noise, PSNR in dB: {variants}.")
    if (compared["num_seeds"] == 1).all():
        better = _(
            "Better than {baseline} by more than {limit} dB, the noise of seeds being unmeasured, "
            "PSNR in dB: {variants}."
        )
    sentences = {
        "better": better,
        "alike": _("No different from {baseline}: {variants}."),
        "worse": _("Worse than {baseline}: {variants}."),
    }
    values = {"baseline": baseline, "limit": SAME_PSNR_DB}
    return [
        Message(sentence.text, values | {"variants": ", ".join(found[outcome])})
        for outcome, sentence in sentences.items()
        if found[outcome]
    ]


def comparison_intro(baseline: str) -> Message:
    """Say what the comparison's columns are."""
    return _(
        "Against `{baseline}` at the same latent size, means over the seeds. A gain is a "
        "difference in the unit of its column, positive where the variant is better; a ratio is a "
        "cost divided by that of `{baseline}`. The samples are those of the best of the priors.",
        baseline=baseline,
    )


def _describe_gain(row: Any, baseline: str, baseline_spread: float) -> Message:
    """Say what one variant gains at one latent size, beyond the spread between seeds."""
    gain = row.psnr_db_gain
    outcome = _outcome(row, baseline_spread)
    values = {
        "variant": row.variant,
        "baseline": baseline,
        "latent_dim": row.latent_dim,
        "difference": abs(gain),
        "params": row.num_params_ratio,
        "flops": row.forward_flops_ratio,
    }
    if outcome == "alike":
        return _(
            "**{variant}** reconstructs like {baseline} at latent size {latent_dim} (difference "
            "{difference:z.2f} dB, noise {noise:.2f} dB), with {params:.2f} times its parameters "
            "and {flops:.2f} times its operations.",
            noise=_noise(row, baseline_spread),
            **values,
        )
    if outcome == "better":
        return _(
            "**{variant}** reconstructs {difference:z.2f} dB better than {baseline} at latent "
            "size {latent_dim}, with {params:.2f} times its parameters and {flops:.2f} times its "
            "operations.",
            **values,
        )
    return _(
        "**{variant}** reconstructs {difference:z.2f} dB worse than {baseline} at latent size "
        "{latent_dim}, with {params:.2f} times its parameters and {flops:.2f} times its "
        "operations.",
        **values,
    )


def _outcome(row: Any, baseline_spread: float) -> str:
    """Judge one variant's PSNR at one latent size against the spread between seeds."""
    if abs(row.psnr_db_gain) <= _noise(row, baseline_spread):
        return "alike"
    return "better" if row.psnr_db_gain > 0 else "worse"


def _noise(row: Any, baseline_spread: float) -> float:
    return max(2 * row.spread, 2 * baseline_spread, SAME_PSNR_DB)


def _gain_column(key: str) -> Column:
    metric = REGISTRY[key]
    title = _("{metric}: gain", metric=metric.title)
    return Column(f"{key}_gain", title, metric.unit, digits=metric.digits)


def _ratio_column(key: str) -> Column:
    return Column(f"{key}_ratio", _("{metric}: ratio", metric=REGISTRY[key].title), digits=2)
