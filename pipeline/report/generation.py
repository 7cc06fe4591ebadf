"""Which run's samples are the best, of which prior, and what their numbers hide: rules."""

import math
from typing import Any

import pandas as pd

from pipeline.report.diagnosis import without_collapse
from pipeline.report.i18n import NOTHING, Message, _
from pipeline.report.image_sets import PRIORS
from pipeline.report.rivals import named


def priors_best_first(summary: pd.DataFrame) -> list[str]:
    """Order the priors by the mean distance of their samples over runs that did not collapse."""
    used = without_collapse(summary)
    rows = summary if used.empty else used
    return sorted(PRIORS, key=lambda prior: rows[f"fd_samples_{prior}"].mean())


def best_samples(summary: pd.DataFrame, baselines: dict[str, Any]) -> list[Message]:
    """Name what draws the samples nearest to the test images, and the faults of the best run's.

    A Gaussian without latents may win; a collapsed run does not, whatever it draws.
    """
    used = without_collapse(summary)
    if used.empty:
        return [_("No run's samples show anything: all of them collapsed.")]
    distances = used.groupby(["variant", "latent_dim"], sort=False)["fd_samples"].mean()
    variant, latent_dim = distances.idxmin()
    same = distances.index[distances == distances.min()].drop((variant, latent_dim))
    rows = used[(used["variant"] == variant) & (used["latent_dim"] == latent_dim)]
    spread = rows["fd_samples"].std()
    values = {
        "variant": variant,
        "latent_dim": latent_dim,
        "prior": PRIORS[rows.loc[rows["fd_samples"].idxmin(), "best_prior"]][0],
        "distance": format(rows["fd_samples"].mean(), ".1f")
        + ("" if math.isnan(spread) else f" ± {spread:.1f}"),
    }
    sentences = nearest_samples(rows["fd_samples"].mean(), values, baselines)
    if len(same):
        sentences.insert(1, _("As near: {others}.", others=named(same)))
    precision, recall = rows["precision_samples"].mean(), rows["recall_samples"].mean()
    return [*sentences, coverage_of_samples(precision, recall, baselines)]


def nearest_samples(
    distance: float, values: dict[str, Any], baselines: dict[str, Any]
) -> list[Message]:
    """Name the winner: the best run, of which `values` tell, or a Gaussian without latents."""
    floor, rival = baselines["fd_train_vs_test"], baselines["fd_gaussian"]
    if rival <= distance:
        return [
            _(
                "The samples nearest to the test images come from a **Gaussian without latents**: "
                "Fréchet distance {rival:.1f}, where training images have {floor:.1f}.",
                rival=rival,
                floor=floor,
            ),
            _(
                "No run that uses its code comes as near: the best is **{variant}** at latent size "
                "**{latent_dim}** with {prior}, {distance}.",
                **values,
            ),
        ]
    nearest = _(
        "Of runs that use their code, **{variant}** at latent size **{latent_dim}** has the "
        "samples nearest to the test images, with {prior}: Fréchet distance {distance}, where "
        "training images have {floor:.1f}.",
        floor=floor,
        **values,
    )
    farther = _("Samples of a Gaussian without latents are farther: {rival:.1f}.", rival=rival)
    return [nearest, farther]


def coverage_of_samples(precision: float, recall: float, baselines: dict[str, Any]) -> Message:
    """Say precision and recall together: images of few kinds raise the one and sink the other."""
    real_precision = baselines["precision_train_vs_test"]
    real_recall = baselines["recall_train_vs_test"]
    narrow = precision > real_precision and recall < real_recall / 2
    return _(
        "The precision of these nearest samples is {precision:.3f} and their recall {recall:.3f} "
        "(training images: {real_precision:.3f} and {real_recall:.3f}){remark}.",
        precision=precision,
        recall=recall,
        real_precision=real_precision,
        real_recall=real_recall,
        remark=_(
            ": few kinds of images; precision says little where a Gaussian without latents has "
            "{gaussian:.3f}",
            gaussian=baselines["precision_gaussian"],
        )
        if narrow
        else NOTHING,
    )
