"""What each variant gains over a baseline of its latent size, and what it costs."""

from typing import Any

import pandas as pd

from pipeline.report.conclusions import SAME_PSNR_DB
from pipeline.report.i18n import Message, _
from pipeline.report.image_sets import PRIORS
from pipeline.report.metrics import REGISTRY
from pipeline.report.tables import Column, Table, metric_column

COMPARED = ("psnr_db", "bits_per_dim", "fd_reconstruction", "fd_samples")
COSTS = ("num_params", "forward_flops")


def compare_to_baseline(summary: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return a row for each variant and latent size, means over the seeds, the baseline's too.

    `fd_samples` is the best prior's. `KEY_gain` is the difference to the baseline in the unit of
    KEY, positive where better; `KEY_ratio` a cost relative to the baseline's; `spread` the
    standard deviation of PSNR over seeds.
    """
    distances = summary[[f"fd_samples_{prior}" for prior in PRIORS]]
    cells = summary.assign(fd_samples=distances.min(axis=1)).groupby(
        ["variant", "latent_dim"], sort=False
    )
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
    return table.reset_index()


def comparison_table(compared: pd.DataFrame) -> Table:
    """Return the comparison as it is shown: each metric beside its gain, then the costs."""
    columns = [metric_column(key, compared) for key in ("variant", "latent_dim", "active_units")]
    for key in COMPARED:
        columns += [metric_column(key, compared), _gain_column(key)]
    return Table(compared, [*columns, *map(_ratio_column, COSTS)])


def describe_gains(compared: pd.DataFrame, baseline: str) -> list[Message]:
    """Say whether each variant reconstructs better than the baseline, and at what cost."""
    spread = compared[compared["variant"] == baseline].set_index("latent_dim")["spread"]
    others = compared[compared["variant"] != baseline]
    return [
        _describe_gain(row, baseline, float(spread[row.latent_dim])) for row in others.itertuples()
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
    noise = max(2 * row.spread, 2 * baseline_spread, SAME_PSNR_DB)
    gain = row.psnr_db_gain
    values = {
        "variant": row.variant,
        "baseline": baseline,
        "latent_dim": row.latent_dim,
        "difference": abs(gain),
        "params": row.num_params_ratio,
        "flops": row.forward_flops_ratio,
    }
    if abs(gain) <= noise:
        return _(
            "**{variant}** reconstructs like {baseline} at latent size {latent_dim} (difference "
            "{difference:z.2f} dB, noise {noise:.2f} dB), with {params:.2f} times its parameters "
            "and {flops:.2f} times its operations.",
            noise=noise,
            **values,
        )
    if gain > 0:
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


def _gain_column(key: str) -> Column:
    metric = REGISTRY[key]
    title = _("{metric}: gain", metric=metric.title)
    return Column(f"{key}_gain", title, metric.unit, digits=metric.digits)


def _ratio_column(key: str) -> Column:
    return Column(f"{key}_ratio", _("{metric}: ratio", metric=REGISTRY[key].title), digits=2)
