"""What each variant gains over a baseline of its latent size, and what it costs: a table, and sentences by rule."""

import pandas as pd

from pipeline.evaluation.samples import PRIORS
from pipeline.report.conclusions import SAME_PSNR_DB, Message, message

# 1 where more is better, -1 where less is.
BETTER = {"psnr_db": 1, "bits_per_dim": -1, "fd_reconstruction": -1, "fd_samples": -1}
COSTS = ("parameters", "forward_flops")


def compare_to_baseline(summary: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """A row for each variant and latent size, means over the seeds, the baseline's own among them.

    `fd_samples` is the best prior's. `KEY_gain` is the difference to the baseline in the unit of KEY, positive where
    better; `KEY_ratio` a cost relative to the baseline's; `spread` the standard deviation of PSNR over seeds.
    """
    runs = summary.assign(fd_samples=summary[[f"fd_{prior}" for prior in PRIORS]].min(axis=1))
    cells = runs.groupby(["variant", "latent_dim"], sort=False)
    table = cells[["active_units", *BETTER, *COSTS]].mean()
    base = (
        table.xs(baseline).reindex(table.index.get_level_values("latent_dim")).set_axis(table.index)
    )
    for key, sign in BETTER.items():
        table[f"{key}_gain"] = sign * (table[key] - base[key]) + 0.0  # no negative zero
    for key in COSTS:
        table[f"{key}_ratio"] = table[key] / base[key]
    # NaN, that of one seed, is no spread that a difference could hide in.
    table["spread"] = cells["psnr_db"].std().fillna(0.0)
    shown = [column for key in BETTER for column in (key, f"{key}_gain")]
    ratios = [f"{key}_ratio" for key in COSTS]
    return table.reset_index()[["variant", "latent_dim", "active_units", *shown, *ratios, "spread"]]


def describe_gains(table: pd.DataFrame, baseline: str) -> list[Message]:
    """Whether each variant reconstructs better than the baseline, beyond the noise, and at what cost."""
    spread = table[table["variant"] == baseline].set_index("latent_dim")["spread"]
    sentences = []
    for row in table[table["variant"] != baseline].itertuples():
        noise = max(2 * row.spread, 2 * float(spread[row.latent_dim]), SAME_PSNR_DB)
        gain = row.psnr_db_gain
        key = "gains_nothing" if abs(gain) <= noise else "gains" if gain > 0 else "loses"
        sentences.append(
            message(
                key, variant=row.variant, baseline=baseline, latent_dim=row.latent_dim, difference=abs(gain),
                noise=noise, parameters=row.parameters_ratio, flops=row.forward_flops_ratio,
            )
        )  # fmt: skip  # one value a line says nothing more
    return sentences
