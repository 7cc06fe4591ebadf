"""Does the latent size decide what a model can do, or the rate of its code? A rule on the grid.

The rate is the KL term: what the code costs, of however many dimensions. Variants that differ in
beta alone have different rates at one latent size, so that the two can be told apart.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.config.grid import Config
from pipeline.report.conclusions import SAME_PSNR_DB
from pipeline.report.diagnosis import without_collapse
from pipeline.report.i18n import Message, _
from pipeline.report.proofs import SAME_DISTANCE

# One of the two decides if what it changes is as many times what the other changes.
CLEARLY = 2.0


def beta_families(params: Config) -> list[list[str]]:
    """Return the groups of the grid's variants that differ in beta and in nothing else."""
    families: dict[str, list[str]] = {}
    for variant in params.grid.variants:
        recipe = params.recipe(variant).model_dump()
        del recipe["loss"]["beta"]
        families.setdefault(str(recipe), []).append(variant)
    return [family for family in families.values() if len(family) > 1]


def size_or_rate(summary: pd.DataFrame, families: Sequence[Sequence[str]]) -> list[Message]:
    """Say for reconstruction and for generation whether the latent size decides, or the rate.

    Of runs that use their codes: the size of an unused one says nothing.
    """
    if summary["latent_dim"].nunique() < 2:
        return []
    used = without_collapse(summary)
    messages = []
    for family in families:
        runs = used[used["variant"].isin(family)]
        messages += [
            *decided_by(runs, "psnr_db", _("For reconstruction"), _("the PSNR, in dB,")),
            *decided_by(
                runs, "fd_samples", _("For generation"), _("the Fréchet distance of samples")
            ),
        ]
    if messages:
        return messages
    return [
        _(
            "Whether the latent size decides or the rate of the code cannot be told from this "
            "grid: that takes variants that differ in beta alone and use their codes, two at a "
            "latent size and at two latent sizes."
        )
    ]


def decided_by(runs: pd.DataFrame, key: str, subject: Message, metric: Message) -> list[Message]:
    """Compare what the size changes at one beta with what the rate changes at one size."""
    cells = runs.groupby(["variant", "latent_dim"], sort=False)
    table = cells[key].mean().unstack().reindex(runs["variant"].unique())
    by_size, by_rate = mean_range(table), mean_range(table.T)
    if pd.isna(by_size) or pd.isna(by_rate):
        return []
    rates = cells["test_kl"].mean()
    numbers = _(
        "{metric} differs by {by_rate:.2f} between the rates at one latent size ({low:.0f} to "
        "{high:.0f} nats an image), by {by_size:.2f} between the latent sizes at one beta, on "
        "average ({variants})",
        metric=metric,
        by_rate=by_rate,
        by_size=by_size,
        low=rates.min(),
        high=rates.max(),
        variants=", ".join(map(str, table.index)),
    )
    values = {"subject": subject, "numbers": numbers}
    if max(by_size, by_rate) <= _noise(cells[key], key):
        return [_("{subject} neither the latent size nor the rate counts: {numbers}.", **values)]
    if by_rate >= CLEARLY * by_size:
        return [_("{subject} **the rate** decides, not the latent size: {numbers}.", **values)]
    if by_size >= CLEARLY * by_rate:
        return [_("{subject} **the latent size** decides, not the rate: {numbers}.", **values)]
    return [_("{subject} both count, the latent size and the rate: {numbers}.", **values)]


def mean_range(table: pd.DataFrame) -> float:
    """Return greatest − least of each row of two numbers or more, mean over rows; NaN of none."""
    rows = table[table.count(axis=1) > 1]
    return float((rows.max(axis=1) - rows.min(axis=1)).mean())


def _noise(cells: Any, key: str) -> float:
    """Differences up to this say nothing: twice the spread of seeds, or of one seed a bound."""
    least = SAME_PSNR_DB if key == "psnr_db" else SAME_DISTANCE * float(cells.mean().mean())
    return max(2 * float(cells.std().fillna(0.0).max()), least)
