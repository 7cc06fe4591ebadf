"""Which latent size reconstructs best: every sentence is computed from the summary by a rule."""

import math

import pandas as pd

from pipeline.report.diagnosis import without_collapse
from pipeline.report.i18n import NOTHING, Message, _

# Differences of PSNR below this are not called larger or smaller when there is one seed only.
SAME_PSNR_DB = 0.1


def size_effect(variant: str, rows: pd.DataFrame) -> list[Message]:
    """Say whether reconstruction improves with the latent size, beyond the spread between seeds.

    Of the runs that did not collapse: what an unused code decodes to says nothing about its size.
    """
    by_size = without_collapse(rows).groupby("latent_dim")["psnr_db"]
    if by_size.ngroups < 2:
        return []
    means = by_size.mean()
    noise = _noise(by_size)
    values = {
        "variant": variant,
        "first": means.iloc[0],
        "first_size": means.index[0],
        "last": means.iloc[-1],
        "last_size": means.index[-1],
    }
    if means.max() - means.min() <= noise:
        return [
            _(
                "For **{variant}** the latent size makes no difference to the PSNR ({first:.2f} "
                "dB at {first_size}, {last:.2f} dB at {last_size}; noise {noise:.2f} dB).",
                noise=noise,
                **values,
            )
        ]
    if larger_is_better(rows):
        return [
            _(
                "For **{variant}** every larger latent size reconstructs better: PSNR "
                "{first:.2f} dB at {first_size} to {last:.2f} dB at {last_size}.",
                **values,
            )
        ]
    if (means.diff().dropna() < -noise).all():
        return [
            _(
                "For **{variant}** every larger latent size reconstructs worse: PSNR "
                "{first:.2f} dB at {first_size} to {last:.2f} dB at {last_size}.",
                **values,
            )
        ]
    return [
        _(
            "For **{variant}** the PSNR does not follow the latent size: {first:.2f} dB at "
            "{first_size}, {last:.2f} dB at {last_size}, best {best:.2f} dB at {best_size}.",
            best=means.max(),
            best_size=means.idxmax(),
            **values,
        )
    ]


def larger_is_better(rows: pd.DataFrame) -> bool:
    """Whether every larger latent size reconstructs better, beyond the spread between seeds."""
    by_size = without_collapse(rows).groupby("latent_dim")["psnr_db"]
    steps = by_size.mean().diff().dropna()
    return len(steps) > 0 and bool((steps > _noise(by_size)).all())


def recommendation(summary: pd.DataFrame) -> Message:
    """Name the run with the highest PSNR that did not collapse, and whether it beats PCA."""
    healthy = without_collapse(summary)
    if healthy.empty:
        return _("No run can be recommended: all of them collapsed.")
    cells = healthy.groupby(["variant", "latent_dim"])
    scores = cells["psnr_db"].agg(["mean", "std"]).sort_values("mean")
    (variant, latent_dim), best = scores.index[-1], scores.iloc[-1]
    spread = 0.0 if math.isnan(best["std"]) else best["std"]
    pca = cells["pca_psnr_db"].first()[variant, latent_dim]
    margin = max(2 * spread, SAME_PSNR_DB)
    near = scores.iloc[:-1][best["mean"] - scores["mean"].iloc[:-1] <= margin]
    others = ", ".join(f"{name} {size}" for name, size in near.index)
    spread_text = f" ± {spread:.2f}" if spread else ""
    tied = _(" No more than {margin:.2f} dB from it: {others}.", margin=margin, others=others)
    return _(
        "The most faithful reconstructions come from **{variant}** at latent size "
        "**{latent_dim}**: PSNR {psnr} dB, which {relation} PCA of that size ({pca:.2f} dB).{tied}",
        variant=variant,
        latent_dim=latent_dim,
        psnr=format(best["mean"], ".2f") + spread_text,
        relation=_("beats") if best["mean"] > pca else _("is still below"),
        pca=pca,
        tied=tied if others else NOTHING,
    )


def _noise(by_size: "pd.core.groupby.SeriesGroupBy") -> float:
    """Differences of mean PSNR up to this say nothing: twice the spread between seeds."""
    several_seeds = by_size.count().min() > 1
    spread = float(by_size.std().max() or 0) if several_seeds else 0.0
    return max(2 * spread, SAME_PSNR_DB)
