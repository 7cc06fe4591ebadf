"""The source report's claims and losses, each with what this study's numbers say of it."""

import pandas as pd

from pipeline.report.conclusions import larger_is_better, without_collapse
from pipeline.report.diagnosis import ranged
from pipeline.report.i18n import Message, _
from pipeline.report.tables import Column, Table

# The variant that repeats the source report's recipe.
SOURCE_RECIPE = "original"
REPRODUCTION = (
    Column("latent_dim", _("latent size"), digits=0),
    Column("published_loss", _("published loss")),
    Column("loss", _("reproduced loss")),
    Column("mean_image", _("mean image")),
    Column("excess", _("reproduced − mean image")),
    Column("published_kl", _("published KL")),
    Column("kl", _("reproduced KL")),
    Column("published_mu", _("published mean of mu")),
    Column("mu", _("reproduced mean of mu")),
)


def published_claims(
    summary: pd.DataFrame, variant: str = SOURCE_RECIPE
) -> list[tuple[Message, Message]]:
    """Return the source report's three conclusions, each with what this study says of it."""
    rows = summary[summary["variant"] == variant]
    if rows.empty:
        return []
    others = without_collapse(summary[summary["variant"] != variant])
    share = (rows["collapse_label"] == "collapsed").mean()
    return [
        (
            _("“The model reconstructs images accurately.”"),
            accuracy_claim(variant, rows, share),
        ),
        (
            _("“A larger latent space brings no substantial improvement.”"),
            size_claim(others),
        ),
        (
            _("“128 is the best compromise between speed and quality.”"),
            compromise_claim(variant, share),
        ),
    ]


def accuracy_claim(variant: str, rows: pd.DataFrame, share: float) -> Message:
    """Refuted where every run collapsed, confirmed where none did."""
    if share == 1:
        verdict = _("Refuted")
    elif share == 0:
        verdict = _("Confirmed")
    else:
        verdict = _("Not decided")
    return _(
        "{verdict}: {collapsed}; explained information on test images {explained} %.",
        verdict=verdict,
        collapsed=_share_collapsed(variant, share),
        explained=ranged(100 * rows["explained_information"], 1),
    )


def size_claim(rest: pd.DataFrame) -> Message:
    """Say what the runs that use their codes say of the latent size."""
    if rest.empty:
        return _("Not refuted: no run that did not collapse is there to compare with.")
    grows = [
        str(name) for name, rows in rest.groupby("variant", sort=False) if larger_is_better(rows)
    ]
    if not grows:
        return _("Not refuted: without collapse the size does not help at every step either.")
    return _(
        "Refuted as a property of VAEs: where the latent vector is used ({variants}), every "
        "larger size reconstructs better.",
        variants=", ".join(grows),
    )


def compromise_claim(variant: str, share: float) -> Message:
    """Without a run that uses its code there is nothing to compromise between."""
    if share == 1:
        return _(
            "Unfounded: collapsed models of every size output one image, so none of them is a "
            "compromise."
        )
    return _(
        "Not decided by collapse alone: {collapsed}.", collapsed=_share_collapsed(variant, share)
    )


def reproduction_table(summary: pd.DataFrame, published: pd.DataFrame) -> Table | None:
    """Set published losses beside reproduced ones, for runs of published latent sizes."""
    last = published[published["epoch"] == published["epoch"].max()].set_index("latent_dim")
    ours = summary[summary["variant"] == SOURCE_RECIPE]
    ours = ours[ours["latent_dim"].isin(last.index)]
    if ours.empty:
        return None
    theirs = last.loc[ours["latent_dim"]].set_axis(ours.index)
    columns = {
        "latent_dim": ours["latent_dim"],
        "published_loss": theirs["total_loss"],
        "loss": ours["train_loss"],
        "mean_image": ours["train_mean_image_bce"],
        "excess": ours["train_loss"] - ours["train_mean_image_bce"],
        "published_kl": theirs["kl_loss"],
        "kl": ours["train_kl"],
        "published_mu": theirs["mu_mean"],
        "mu": ours["train_mu_mean"],
    }
    return Table(pd.DataFrame(columns), REPRODUCTION)


def reproduction_intro(summary: pd.DataFrame, published: pd.DataFrame) -> Message:
    """Say what the two studies' losses are of."""
    return _(
        "The source report's losses at its last epoch beside this study's `{variant}` runs at "
        "theirs, nats, and what predicting the mean augmented training image costs (exact: the "
        "binary entropy of that image). The report trained on all training images; its epoch is "
        "{published_epoch}, this study's {epochs}.",
        variant=SOURCE_RECIPE,
        published_epoch=published["epoch"].max(),
        epochs=", ".join(map(str, summary["epochs"].unique())),
    )


def nothing_to_compare() -> Message:
    """Say that no run repeats what was published."""
    return _(
        "The study has no `{variant}` run of a published latent size to compare with.",
        variant=SOURCE_RECIPE,
    )


def _share_collapsed(variant: str, share: float) -> Message:
    return _("{share:.0%} of the {variant} runs collapsed", share=share, variant=variant)
