"""Data to Figure; the only matplotlib import. Colours are safe for the colour-blind (Okabe & Ito 2008)."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")


def png(figure: Figure) -> bytes:
    """The figure as PNG; equal figures are equal bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _styled(axes, title: str, x: str, y: str) -> None:  # type: ignore[no-untyped-def]  # Axes, whose stubs need pyplot
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def loss_curves(
    history: pd.DataFrame, title: str, mean_image: float | None = None, floor: float | None = None
) -> Figure:
    """Total loss and KL by epoch, a line for each run; `history` has the columns of history.csv and `run`.

    `mean_image` and `floor` are levels of the total loss to draw in where the loss has the same scale.
    """
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (run, rows) in enumerate(history.groupby("run", sort=False)):
        colour = COLOURS[index % len(COLOURS)]
        left.plot(rows["epoch"], rows["train_total_loss"], color=colour, marker=".", label=f"{run} train")
        left.plot(rows["epoch"], rows["validation_total_loss"], color=colour, linestyle="--", label=f"{run} validation")
        right.plot(rows["epoch"], rows["train_kl"], color=colour, marker=".", label=str(run))
    for level, name, style in ((mean_image, "mean image", ":"), (floor, "perfect reconstruction", "-.")):
        if level is not None:
            left.axhline(level, color="black", linestyle=style, linewidth=1, label=name)
    _styled(left, f"{title}: total loss", "epoch", "total loss, nats")
    _styled(right, f"{title}: KL", "epoch", "KL, nats per image")
    right.set_yscale("symlog", linthresh=0.1)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=7, loc="best")
    return figure


def by_latent_dim(summary: pd.DataFrame, key: str, label: str, references: dict[str, pd.Series]) -> Figure:
    """One quantity against latent size, a line for each variant (mean over seeds), with reference lines."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, (variant, rows) in enumerate(summary.groupby("variant", sort=False)):
        grouped = rows.groupby("latent_dim")[key]
        spread = grouped.std().fillna(0)
        axes.errorbar(
            grouped.mean().index, grouped.mean(), yerr=spread, marker="o", capsize=3,
            color=COLOURS[index % len(COLOURS)], label=str(variant),
        )  # fmt: skip  # one argument a line says nothing more
    for index, (name, values) in enumerate(references.items()):
        axes.plot(values.index, values, color="black", linestyle=LINES[1 + index % 3], linewidth=1, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(summary["latent_dim"].unique()), [str(d) for d in sorted(summary["latent_dim"].unique())])
    _styled(axes, label.split(",")[0], "latent size", label)
    axes.legend(fontsize=8)
    return figure


def kl_per_dimension(profiles: dict[str, np.ndarray]) -> Figure:
    """KL of each latent dimension in falling order, nats, a line for each run."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, (run, kl) in enumerate(profiles.items()):
        colour, line = COLOURS[index % len(COLOURS)], LINES[index // len(COLOURS) % len(LINES)]
        axes.plot(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], label=run, color=colour, linestyle=line)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_xscale("log")
    _styled(axes, "KL of each dimension, sorted", "dimension", "KL, nats")
    axes.legend(fontsize=7, ncols=2)
    return figure


def labelled_rows(rows: Sequence[tuple[str, np.ndarray]], title: str) -> Figure:
    """Rows of images uint8 [N, C, H, W] under each other, each with its label at the left."""
    columns = max(len(images) for _, images in rows)
    figure = Figure(figsize=(1.6 + 0.62 * columns, 0.35 + 0.64 * len(rows)), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, (label, images) in zip(np.ravel(figure.subplots(len(rows), 1)), rows, strict=True):
        strip = images.transpose(2, 0, 3, 1).reshape(images.shape[2], -1, images.shape[1])
        axes.imshow(strip if strip.shape[2] == 3 else strip[:, :, 0], cmap="gray", interpolation="nearest")
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure
