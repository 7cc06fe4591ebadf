"""The source report's claims and losses, each with what this study's numbers say of it."""

from typing import NamedTuple

import pandas as pd

from pipeline.report.conclusions import larger_is_better
from pipeline.report.diagnosis import ranged, without_collapse
from pipeline.report.i18n import Message, _
from pipeline.report.tables import Column, RunTable, Table

# The variant that repeats the source report's recipe.
SOURCE_RECIPE = "original"
# What the source report trained on: its losses and claims are of these images alone.
SOURCE_DATASET = "cifar10"
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


class Claim(NamedTuple):
    """A conclusion of the source report, whether it stands, and why."""

    quote: Message
    verdict: Message
    reason: Message

    @property
    def sentence(self) -> Message:
        """Say all three."""
        return _("{quote} **{verdict}**: {reason}.", **self._asdict())


def published_claims(summary: pd.DataFrame, variant: str = SOURCE_RECIPE) -> list[Claim]:
    """Return the source report's three conclusions, each with what this study says of it."""
    rows = summary[summary["variant"] == variant]
    if rows.empty:
        return []
    others = without_collapse(summary[summary["variant"] != variant])
    share = (rows["collapse_label"] == "collapsed").mean()
    return [
        Claim(
            _("“The model reconstructs images accurately.”"),
            *accuracy_claim(variant, rows, share),
        ),
        Claim(
            _("“A larger latent space brings no substantial improvement.”"),
            *size_claim(others),
        ),
        Claim(
            _("“128 is the best compromise between speed and quality.”"),
            *compromise_claim(variant, share),
        ),
    ]


def accuracy_claim(variant: str, rows: pd.DataFrame, share: float) -> tuple[Message, Message]:
    """Refuted where every run collapsed, confirmed where none did."""
    if share == 1:
        verdict = _("Refuted")
    elif share == 0:
        verdict = _("Confirmed")
    else:
        verdict = _("Not decided")
    reason = _(
        "{collapsed}; explained information on test images {explained} %",
        collapsed=_share_collapsed(variant, share),
        explained=ranged(100 * rows["explained_information"], 1),
    )
    return verdict, reason


def size_claim(rest: pd.DataFrame) -> tuple[Message, Message]:
    """Say what the runs that use their codes say of the latent size."""
    if rest.empty:
        reason = _("no run that did not collapse is there to compare with")
        return _("Not refuted"), reason
    grows = [
        str(name) for name, rows in rest.groupby("variant", sort=False) if larger_is_better(rows)
    ]
    if not grows:
        reason = _("without collapse the size does not help at every step either")
        return _("Not refuted"), reason
    reason = _(
        "where the latent vector is used ({variants}), every larger size reconstructs better",
        variants=", ".join(grows),
    )
    return _("Refuted as a property of VAEs"), reason


def compromise_claim(variant: str, share: float) -> tuple[Message, Message]:
    """Without a run that uses its code there is nothing to compromise between."""
    if share == 1:
        reason = _(
            "collapsed models of every size output one image, so none of them is a compromise"
        )
        return _("Unfounded"), reason
    return _("Not decided by collapse alone"), _share_collapsed(variant, share)


def reproduction_table(summary: pd.DataFrame, published: pd.DataFrame) -> RunTable | None:
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
    frame = pd.DataFrame(columns)
    return RunTable(Table(frame, REPRODUCTION[:-2]), Table(frame, REPRODUCTION))


def reproduction_intro(summary: pd.DataFrame, published: pd.DataFrame) -> Message:
    """Say what the two studies' losses are of."""
    return _(
        "The source report's losses at its last epoch beside this study's `{variant}` runs at "
        "theirs, nats, and what predicting the mean augmented training image costs (exact: the "
        "binary entropy of that image). The report trained on all training images; its epoch is "
        "{published_epoch}, this study's {epochs}.",
        variant=SOURCE_RECIPE,
        published_epoch=published["epoch"].max(),
        epochs=", ".join(
            map(str, summary.loc[summary["variant"] == SOURCE_RECIPE, "epochs"].unique())
        ),
    )


def nothing_to_compare() -> Message:
    """Say that no run repeats what was published."""
    return _(
        "The study has no `{variant}` run of a published latent size to compare with.",
        variant=SOURCE_RECIPE,
    )


def other_images() -> Message:
    """Say that what was published is of other images."""
    return _("The source report trained on CIFAR-10: its losses say nothing of other images.")


def _share_collapsed(variant: str, share: float) -> Message:
    return _("{share:.0%} of the {variant} runs collapsed", share=share, variant=variant)
