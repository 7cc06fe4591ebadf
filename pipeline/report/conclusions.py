"""What the numbers say, by rules: every sentence of the verdict is computed from the summary table.

A sentence is a key of the message catalogues and the values that go into it, so that every language says the same.
"""

import math
from typing import Any, NamedTuple

import pandas as pd

# A training loss this close to the mean image's (nats per pixel-channel) is the mean image's.
SAME_LOSS = 0.004
# Differences of PSNR below this are not called larger or smaller when there is one seed only.
SAME_PSNR_DB = 0.1


class Message(NamedTuple):
    """A message and its values, which may be sentences themselves."""

    key: str
    values: dict[str, Any]


def message(key: str, **values: Any) -> Message:
    return Message(key, values)


def conclusions(summary: pd.DataFrame) -> list[Message]:
    """Sentences on which run to take, on collapse, and on the effect of the latent size."""
    messages = [recommendation(summary)]
    for variant, rows in summary.groupby("variant", sort=False):
        messages += [*collapse_of(str(variant), rows), *size_effect(str(variant), rows)]
    return messages


def collapse_of(variant: str, rows: pd.DataFrame) -> list[Message]:
    """How many of a variant's runs collapsed, and how it is known."""
    collapsed = rows[rows["collapse"] == "collapsed"]
    partly = rows[rows["collapse"] == "partly collapsed"]
    if collapsed.empty and partly.empty:
        least = rows["active_share"].min()
        return [message("healthy" if least < 1 else "wholly_healthy", variant=variant, least=least)]
    messages = []
    if not collapsed.empty:
        every, most = len(collapsed) == len(rows), collapsed["active_units"].max()
        messages.append(
            message(
                "all_collapsed" if every else "some_collapsed",
                variant=variant,
                count=len(collapsed),
                total=len(rows),
                sizes=_listed(collapsed["latent_dim"]),
                kl=collapsed["kl"].max(),
                active=message("active_at_most" if most else "none_active", active=most),
            )
        )
        messages += same_as_mean_image(collapsed)
    if not partly.empty:
        shares = ", ".join(
            f"{row.latent_dim}: {row.active_share:.0%}" for row in partly.itertuples()
        )
        messages.append(
            message(
                "partly_collapsed",
                variant=variant,
                count=len(partly),
                total=len(rows),
                shares=shares,
            )
        )
    return messages


def same_as_mean_image(collapsed: pd.DataFrame) -> list[Message]:
    """Whether the collapsed runs' training cross-entropy is that of predicting one image, the mean."""
    if "train_explained_information" not in collapsed:  # no run with a Bernoulli likelihood
        return []
    scored = collapsed[collapsed["train_explained_information"].notna()]
    if scored.empty:
        return []
    difference = (
        (scored["train_reconstruction_per_dim"] - scored["train_mean_image_bce"]).abs().max()
    )
    compared = message(
        "same_as_mean_image" if difference <= SAME_LOSS else "away_from_mean_image",
        losses=_ranged(scored["train_total_loss"], 4),
        level=scored["train_mean_image_bce"].iloc[0],
        difference=difference,
        explained=_ranged(100 * scored["train_explained_information"], 1),
    )
    return [compared, *posterior_mean_is_off(scored)]


def posterior_mean_is_off(collapsed: pd.DataFrame) -> list[Message]:
    """Whether their test figures, of code = mu, are worse than those of the codes that the decoder was trained on."""
    if (collapsed["bce"] - collapsed["test_reconstruction_per_dim"]).max() <= SAME_LOSS:
        return []
    return [
        message(
            "posterior_mean_is_off",
            by_mu=_ranged(collapsed["bce"], 3),
            sampled=_ranged(collapsed["test_reconstruction_per_dim"], 3),
            mean_image=collapsed["mean_image_bce"].iloc[0],
        )
    ]


def size_effect(variant: str, rows: pd.DataFrame) -> list[Message]:
    """Whether reconstruction improves with the latent size, beyond the spread between seeds.

    Of the runs that did not collapse: what an unused code decodes to says nothing about its size.
    """
    by_size = rows[rows["collapse"] != "collapsed"].groupby("latent_dim")["psnr_db"]
    if by_size.ngroups < 2:
        return []
    means = by_size.mean()
    noise = max(
        2 * float(by_size.std().max() or 0) if by_size.count().min() > 1 else 0.0, SAME_PSNR_DB
    )
    ends = {
        "first": means.iloc[0],
        "first_size": means.index[0],
        "last": means.iloc[-1],
        "last_size": means.index[-1],
    }
    steps, best = means.diff().dropna(), means.idxmax()
    if means.max() - means.min() <= noise:
        key = "size_makes_no_difference"
    elif (steps > noise).all():
        key = "larger_is_better"
    elif (steps < -noise).all():
        key = "larger_is_worse"
    else:
        key = "size_is_not_followed"
    return [message(key, variant=variant, noise=noise, best=means[best], best_size=best, **ends)]


def recommendation(summary: pd.DataFrame) -> Message:
    """The run with the highest PSNR that did not collapse, and whether it beats PCA."""
    healthy = summary[summary["collapse"] != "collapsed"]
    if healthy.empty:
        return message("none_recommended")
    scores = (
        healthy.groupby(["variant", "latent_dim"])["psnr_db"]
        .agg(["mean", "std"])
        .sort_values("mean")
    )
    (variant, latent_dim), best = scores.index[-1], scores.iloc[-1]
    spread = 0.0 if math.isnan(best["std"]) else best["std"]
    pca = healthy[(healthy["variant"] == variant) & (healthy["latent_dim"] == latent_dim)][
        "pca_psnr_db"
    ].iloc[0]
    margin = max(2 * spread, SAME_PSNR_DB)
    tied = [
        f"{v} {d}"
        for (v, d), row in scores.iloc[:-1].iterrows()
        if best["mean"] - row["mean"] <= margin
    ]
    return message(
        "recommended",
        variant=variant,
        latent_dim=latent_dim,
        psnr=f"{best['mean']:.2f}" + (f" ± {spread:.2f}" if spread else ""),
        relation=message("beats_pca" if best["mean"] > pca else "below_pca"),
        pca=pca,
        tied=message("tied", others=", ".join(tied)) if tied else "",
    )


def collapse_message(row: Any) -> Message:
    """Why a run was judged as it was; `row` is its row of the summary."""
    numbers = {
        "active": row.active_units,
        "latent_dim": row.latent_dim,
        "kl": row.kl,
        "gain": row.shuffle_gain,
    }
    keys = {"healthy": "judged_healthy", "partly collapsed": "judged_partly"}
    key = keys.get(row.collapse, "judged_constant" if row.active_units == 0 else "judged_ignored")
    return message(key, unused=1 - row.active_share, numbers=message("judged_by", **numbers))


def published_claims(
    summary: pd.DataFrame, variant: str = "reference"
) -> list[tuple[str, Message]]:
    """The source report's three conclusions by their message keys, each with what this study's numbers say of it."""
    rows = summary[summary["variant"] == variant]
    if rows.empty:
        return []
    share = (rows["collapse"] == "collapsed").mean()
    collapsed = message("share_collapsed", share=share, variant=variant)
    accurate = "refuted" if share == 1 else "confirmed" if share == 0 else "undecided"
    explained = _ranged(100 * rows["explained_information"], 1)
    return [
        (
            "claim_accurate",
            message(
                "accuracy", verdict=message(accurate), collapsed=collapsed, explained=explained
            ),
        ),
        (
            "claim_size",
            size_claim(
                summary[(summary["variant"] != variant) & (summary["collapse"] != "collapsed")]
            ),
        ),
        (
            "claim_compromise",
            message("no_compromise" if share == 1 else "compromise_undecided", collapsed=collapsed),
        ),
    ]


def size_claim(rest: pd.DataFrame) -> Message:
    """What the runs that use their codes say of the latent size."""
    if rest.empty:
        return message("size_not_compared")
    effects = {
        str(variant): size_effect(str(variant), rows)
        for variant, rows in rest.groupby("variant", sort=False)
    }
    grows = [
        variant for variant, said in effects.items() if said and said[0].key == "larger_is_better"
    ]
    return (
        message("size_refuted", variants=", ".join(grows)) if grows else message("size_not_refuted")
    )


def _listed(values: pd.Series) -> str:
    return ", ".join(str(value) for value in sorted(values.unique()))


def _ranged(values: pd.Series, digits: int) -> str:
    """One number if all round to the same, else least to greatest."""
    least, greatest = f"{values.min():z.{digits}f}", f"{values.max():z.{digits}f}"
    return least if least == greatest else f"{least} … {greatest}"
