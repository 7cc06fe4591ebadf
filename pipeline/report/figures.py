"""Data to Figure; the only matplotlib import. Colours are safe for the colour-blind (Okabe & Ito 2008)."""

import io
from itertools import product

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.data.images import make_grid

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DPI = 110
LINES = ("-", "--", "-.", ":")
# What a plot calls things, in one language: `axes` of the report's catalogues.
Labels = dict[str, str]


def png(figure: Figure) -> bytes:
    """The figure as PNG; equal figures are equal bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def svg(figure: Figure) -> str:
    """The figure as an <svg> element for a page whose text colour and background (--page) it takes."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "figure"}):
        file = io.StringIO()
        figure.savefig(
            file, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    element = file.getvalue()
    element = element[element.index("<svg") :]
    return element.replace("#000000", "currentColor").replace("#ffffff", "var(--page)")


def strips(rows: list[tuple[str, np.ndarray]], scale: int = 2) -> Figure:
    """Labelled rows of images uint8 [N, C, H, W], drawn `scale` dots to the pixel by `png`."""
    count, _, side, _ = rows[0][1].shape
    side, gap, margin = scale * side, 6, 190
    width, height = margin + count * side, len(rows) * (side + gap) - gap
    figure = Figure(figsize=(width / DPI, height / DPI))
    for index, (label, images) in enumerate(rows):
        bottom = height - side - index * (side + gap)
        axes = figure.add_axes(
            (margin / width, bottom / height, count * side / width, side / height)
        )
        axes.imshow(
            make_grid(images[None]),
            interpolation="nearest",
            aspect="auto",
            cmap="gray",
            vmin=0,
            vmax=255,
        )
        axes.axis("off")
        figure.text(0.01, (bottom + side / 2) / height, label, va="center", fontsize=8)
    return figure


def _styled(axes, title: str, x: str, y: str) -> None:  # type: ignore[no-untyped-def]  # Axes, whose stubs need pyplot
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _legend_below(figure: Figure, columns: int) -> None:
    """What the first axes show, in a place where it hides nothing."""
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=columns,
        fontsize=7,
    )


def loss_curves(
    history: pd.DataFrame,
    title: str,
    words: Labels,
    mean_image: float | None = None,
    floor: float | None = None,
) -> Figure:
    """Total loss and KL by epoch, a line for each run, dashed for validation images.

    `history` has the columns of history.csv and `run`.
    `mean_image` and `floor` are levels of the total loss to draw in where the loss has the same scale.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (run, rows) in enumerate(history.groupby("run", sort=False)):
        colour = COLORS[index % len(COLORS)]
        left.plot(rows["epoch"], rows["train_total_loss"], color=colour, marker=".", label=str(run))
        left.plot(rows["epoch"], rows["validation_total_loss"], color=colour, linestyle="--")
        right.plot(rows["epoch"], rows["train_kl"], color=colour, marker=".")
    left.plot([], [], color="black", linestyle="--", label=words["validation"])
    for level, name, style in ((mean_image, "mean_image", ":"), (floor, "floor", "-.")):
        if level is not None:
            left.axhline(level, color="black", linestyle=style, linewidth=1, label=words[name])
    _styled(left, f"{title}: {words['total_loss']}", words["epoch"], f"{words['total_loss']}, nats")
    _styled(right, f"{title}: KL", words["epoch"], f"KL, {words['nats_per_image']}")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_below(figure, columns=6)
    return figure


def by_latent_dim(
    summary: pd.DataFrame,
    lines: dict[str, str],
    label: str,
    words: Labels,
    references: dict[str, pd.Series],
) -> Figure:
    """Quantities (key of the summary: name) against latent size, a line for each and variant, with reference lines.

    Points are means over seeds, bars their standard deviation.
    """
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    for (index, (variant, rows)), (number, (key, name)) in product(
        enumerate(summary.groupby("variant", sort=False)), enumerate(lines.items())
    ):
        grouped = rows.groupby("latent_dim")[key]
        axes.errorbar(
            grouped.mean().index, grouped.mean(), yerr=grouped.std().fillna(0), marker="os^D"[number % 4], capsize=3,
            color=COLORS[(index if len(lines) == 1 else number) % len(COLORS)], linestyle=LINES[index % len(LINES)],
            label=f"{variant} {name}".strip(),
        )  # fmt: skip  # one argument a line says nothing more
    for index, (name, values) in enumerate(references.items()):
        axes.plot(
            values.index,
            values,
            color="black",
            linestyle=LINES[1 + index % 3],
            linewidth=1,
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(
        sorted(summary["latent_dim"].unique()),
        [str(d) for d in sorted(summary["latent_dim"].unique())],
    )
    _styled(axes, label.split(",")[0], words["latent_size"], label)
    _legend_below(figure, columns=2)
    return figure


def rate_distortion(summary: pd.DataFrame, words: Labels, mean_image: float) -> Figure:
    """PSNR against KL, a point for each run, with its latent size if there are several, and the mean image's PSNR."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    several = summary["latent_dim"].nunique() > 1
    for index, (variant, rows) in enumerate(summary.groupby("variant", sort=False)):
        colour = COLORS[index % len(COLORS)]
        axes.plot(
            rows["kl"],
            rows["psnr_db"],
            color=colour,
            marker="os^D"[index % 4],
            linestyle="",
            label=str(variant),
        )
        used = rows[rows["collapse"] != "collapsed"]
        axes.plot(
            used["kl"], used["pca_psnr_db"], color=colour, marker="_", linestyle="", markersize=12
        )
        for row in used.itertuples() if several else ():
            beside = (row.kl, row.psnr_db)
            axes.annotate(
                str(row.latent_dim), beside, (6, -3), textcoords="offset points", fontsize=7
            )
    axes.plot([], [], color="black", marker="_", linestyle="", markersize=12, label=words["pca"])
    axes.axhline(mean_image, color="black", linestyle=":", linewidth=1, label=words["mean_image"])
    _styled(axes, words["rate_distortion"], f"KL, {words['nats_per_image']}", words["psnr"])
    _legend_below(figure, columns=4)
    return figure


def kl_per_dimension(dimensions: pd.DataFrame, words: Labels) -> Figure:
    """KL of each latent dimension in falling order, nats, a line for each run."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    for index, (run, rows) in enumerate(dimensions.groupby("run", sort=False)):
        kl = rows["kl"]
        colour, line = COLORS[index % len(COLORS)], LINES[index // len(COLORS) % len(LINES)]
        axes.plot(
            np.arange(1, len(kl) + 1),
            np.sort(kl)[::-1],
            label=str(run),
            color=colour,
            linestyle=line,
        )
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_xscale("log")
    _styled(axes, words["kl_sorted"], words["dimension"], "KL, nats")
    _legend_below(figure, columns=4)
    return figure
