"""What each run was judged to be, in words, and what collapsed in the study."""

from typing import Any

import pandas as pd

from pipeline.report.i18n import Message, _, _n

# A training loss this close to the mean image's (nats per pixel-channel) is the mean image's.
SAME_LOSS = 0.004

HEADING = _("Why each run was judged as it was")
LABELS = {
    "collapsed": _("collapsed"),
    "partly collapsed": _("partly collapsed"),
    "healthy": _("healthy"),
}


def without_collapse(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that use their codes, perhaps not all of it."""
    return summary[summary["collapse_label"] != "collapsed"]


def run_label(row: Any) -> Message:
    """Say beside a run's images what it was judged and how good it is."""
    label = LABELS.get(row.collapse_label, row.collapse_label)
    return _("{label}, PSNR {psnr:.2f} dB", label=label, psnr=row.psnr_db)


def sample_label(row: Any, prior: str) -> Message:
    """Say beside a run's samples what it was judged, what its code holds and how near they are."""
    return _(
        "{label}, KL {kl:z.1f} nats, Fréchet distance {distance:.0f}",
        label=LABELS.get(row.collapse_label, row.collapse_label),
        kl=row.test_kl,
        distance=getattr(row, f"fd_samples_{prior}"),
    )


def collapse_message(row: Any) -> Message:
    """Say why a run was judged as it was; `row` is its row of the summary."""
    numbers = _(
        "{active} of {latent_dim} dimensions active, KL {kl:z.4f} nats per image, "
        "shuffle gain {gain:z.4f}",
        active=row.active_units,
        latent_dim=row.latent_dim,
        kl=row.test_kl,
        gain=row.shuffle_gain,
    )
    if row.collapse_label == "healthy":
        return _("healthy: {numbers}", numbers=numbers)
    if row.collapse_label == "partly collapsed":
        return _(
            "partly collapsed, {unused:.0%} of the dimensions unused: {numbers}",
            unused=1 - row.active_fraction,
            numbers=numbers,
        )
    if row.active_units == 0:
        return _("collapsed, no dimension of mu varies with the image: {numbers}", numbers=numbers)
    return _("collapsed, the decoder ignores z: {numbers}", numbers=numbers)


def collapse_of_all(summary: pd.DataFrame) -> list[Message]:
    """Say which variants collapsed and how it is known, then in one sentence which did not."""
    messages = []
    used = []
    for variant, rows in summary.groupby("variant", sort=False):
        said = collapse_of(str(variant), rows)
        messages += said
        used += [] if said else [str(variant)]
    if used:
        rows = summary[summary["variant"].isin(used)]
        messages.append(_no_collapse(used, rows["active_fraction"].min()))
    return messages


def collapse_of(variant: str, rows: pd.DataFrame) -> list[Message]:
    """Say how many of a variant's runs collapsed, and how it is known; nothing if none did."""
    collapsed = rows[rows["collapse_label"] == "collapsed"]
    partly = rows[rows["collapse_label"] == "partly collapsed"]
    messages = []
    if not collapsed.empty:
        messages += [_collapsed(variant, collapsed, len(rows)), *same_as_mean_image(collapsed)]
    if not partly.empty:
        messages.append(_partly_collapsed(variant, partly, len(rows)))
    return messages


def _no_collapse(variants: list[str], least: float) -> Message:
    names = ", ".join(f"**{variant}**" for variant in variants)
    if least == 1:
        return _("No collapse in {names}: in every run every dimension is active.", names=names)
    return _(
        "No collapse in {names}: in every run at least {least:.0%} of the dimensions are active.",
        names=names,
        least=least,
    )


def _collapsed(variant: str, collapsed: pd.DataFrame, total: int) -> Message:
    """Name a variant's collapsed runs, with the largest KL and the most dimensions they use."""
    sizes = sorted(collapsed["latent_dim"].unique())
    named = _n(
        "latent size {sizes}",
        "latent sizes {sizes}",
        len(sizes),
        sizes=", ".join(map(str, sizes)),
    )
    if len(collapsed) == total:
        extent = _n(
            "in its {count} run ({sizes})", "in all {count} runs ({sizes})", total, sizes=named
        )
    else:
        extent = _n(
            "in {collapsed} of {count} run ({sizes})",
            "in {collapsed} of {count} runs ({sizes})",
            total,
            collapsed=len(collapsed),
            sizes=named,
        )
    most = int(collapsed["active_units"].max())
    active = (
        _n("at most {count} dimension is active", "at most {count} dimensions are active", most)
        if most
        else _("no dimension is active")
    )
    return _(
        "**{variant}** collapsed {extent}: the test KL is at most {kl:.2g} nats an image and "
        "{active}.",
        variant=variant,
        extent=extent,
        # Float32 rounds a KL of zero to either side of it.
        kl=collapsed["test_kl"].abs().max(),
        active=active,
    )


def _partly_collapsed(variant: str, partly: pd.DataFrame, total: int) -> Message:
    shares = [f"{row.latent_dim}: {row.active_fraction:.0%}" for row in partly.itertuples()]
    return _n(
        "**{variant}** partly collapsed in {partly} of {count} run (active dimensions by latent "
        "size: {shares}).",
        "**{variant}** partly collapsed in {partly} of {count} runs (active dimensions by latent "
        "size: {shares}).",
        total,
        variant=variant,
        partly=len(partly),
        shares=", ".join(shares),
    )


def same_as_mean_image(collapsed: pd.DataFrame) -> list[Message]:
    """Say whether collapsed runs' training cross-entropy is that of predicting the mean image."""
    if "train_explained_information" not in collapsed:  # no run with a Bernoulli likelihood
        return []
    scored = collapsed[collapsed["train_explained_information"].notna()]
    if scored.empty:
        return []
    level = scored["train_mean_image_bce"]
    difference = (scored["train_reconstruction_per_dim"] - level).abs().max()
    if difference > SAME_LOSS:
        compared = _(
            "Its training reconstruction ({losses}) is up to {difference:z.4f} away from the cost "
            "of predicting the mean image ({level:.4f} nats per pixel-channel).",
            losses=ranged(scored["train_reconstruction_per_dim"], 4),
            difference=difference,
            level=level.iloc[0],
        )
    else:
        compared = _(
            "Its training reconstruction ({losses}) equals the cost of predicting the mean "
            "augmented image for every input ({level:.4f} nats per pixel-channel) within "
            "{difference:z.4f}: the models output one and the same image, and explain {explained} "
            "% of the information.",
            losses=ranged(scored["train_reconstruction_per_dim"], 4),
            difference=difference,
            level=level.iloc[0],
            explained=ranged(100 * scored["train_explained_information"], 1),
        )
    return [compared, *posterior_mean_is_off(scored)]


def posterior_mean_is_off(collapsed: pd.DataFrame) -> list[Message]:
    """Say where test figures, of code = mu, are worse than those of codes trained on."""
    sampled = collapsed["test_reconstruction_per_dim"]
    if (collapsed["bce"] - sampled).max() <= SAME_LOSS:
        return []
    return [
        _(
            "Test figures are of code = mu, where these decoders cost {by_mu} nats per "
            "pixel-channel; of sampled codes, on which they were trained, they cost {sampled}, "
            "and the mean training image {mean_image:.3f}.",
            by_mu=ranged(collapsed["bce"], 3),
            sampled=ranged(sampled, 3),
            mean_image=collapsed["mean_image_bce"].iloc[0],
        )
    ]


def ranged(values: pd.Series, digits: int) -> str:
    """One number if all round to the same, else least to greatest."""
    least = f"{values.min():z.{digits}f}"
    greatest = f"{values.max():z.{digits}f}"
    return least if least == greatest else f"{least} … {greatest}"
