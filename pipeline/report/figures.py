"""Data to Figure; the only matplotlib import. Colors are safe for the color-blind (Okabe & Ito)."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogFormatter, MaxNLocator

from pipeline.data.images import make_grid
from pipeline.report.i18n import Translator, _

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")
MARKERS = "os^D"
DPI = 110
HALF_PAGE = (5.5, 3.5)


class Curve(NamedTuple):
    """Values by latent size; a reference has no spread over seeds and is drawn thin and black."""

    label: str
    mean: pd.Series
    spread: pd.Series | None = None
    color: int = 0
    line: int = 0
    marker: int = 0


class Points(NamedTuple):
    """Marks without a line: of a variant's runs, or of a rival; `names` stand beside them."""

    label: str
    x: pd.Series
    y: pd.Series
    color: str = "black"
    marker: str = "o"
    names: Sequence[str] = ()
    hollow: bool = False


class Axis(NamedTuple):
    """What an axis measures; `log` of the horizontal one begins at zero."""

    label: str
    log: bool = False


def png(figure: Figure) -> bytes:
    """Return the figure as PNG; equal figures are equal bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def svg(figure: Figure) -> str:
    """Return an <svg> element for a page whose text color and background (--page) it takes."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "figure"}):
        undated = {"Date": None, "Creator": None}
        figure.savefig(file, format="svg", transparent=True, metadata=undated)
    element = file.getvalue()
    element = element[element.index("<svg") :]
    return element.replace("#000000", "currentColor").replace("#ffffff", "var(--page)")


def strips(rows: list[tuple[str, np.ndarray]], scale: int = 2) -> Figure:
    """Draw labeled rows of images uint8 [N, C, H, W], `scale` dots to the pixel by `png`."""
    count, _channels, side, _width = rows[0][1].shape
    side, gap, margin = scale * side, 6, 190
    width = margin + count * side
    height = len(rows) * (side + gap) - gap
    figure = Figure(figsize=(width / DPI, height / DPI))
    for index, (label, images) in enumerate(rows):
        bottom = height - side - index * (side + gap)
        place = (margin / width, bottom / height, count * side / width, side / height)
        axes = figure.add_axes(place)
        grid = make_grid(images[None])
        axes.imshow(grid, interpolation="nearest", aspect="auto", cmap="gray", vmin=0, vmax=255)
        axes.axis("off")
        figure.text(0.01, (bottom + side / 2) / height, label, va="center", fontsize=8)
    return figure


def loss_curves(
    history: pd.DataFrame,
    title: str,
    translator: Translator,
    levels: dict[str, float] | None = None,
) -> Figure:
    """Draw loss and KL by epoch, a line for each run, dashed for validation images.

    `history` has the columns of history.csv and `run`; `levels` are losses to draw in by name.
    """
    say = translator.translate
    figure = Figure(figsize=(10, 3.5))
    left, right = figure.subplots(1, 2)
    for index, (run, rows) in enumerate(history.groupby("run", sort=False)):
        color = COLORS[index % len(COLORS)]
        left.plot(rows["epoch"], rows["train_loss"], color=color, marker=".", label=str(run))
        # A single epoch makes no line.
        alone = "x" if len(rows) == 1 else None
        left.plot(rows["epoch"], rows["val_loss"], color=color, linestyle="--", marker=alone)
        right.plot(rows["epoch"], rows["train_kl"], color=color, marker=".")
    left.plot([], [], color="black", linestyle="--", label=say(_("validation")))
    for index, (name, level) in enumerate((levels or {}).items()):
        line = LINES[-1 - index]
        left.axhline(level, color="black", linestyle=line, linewidth=1, label=name)
    loss = say(_("loss"))
    _style(left, f"{title}: {loss}", say(_("epoch")), loss)
    _style(right, f"{title}: KL", say(_("epoch")), say(_("KL, nats/image")))
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _finish(figure, columns=6)


def by_latent_dim(
    curves: list[Curve], title: str, label: str, translator: Translator, log: bool = False
) -> Figure:
    """Draw curves against latent size: means over seeds with bars of their standard deviation."""
    figure = _half_page(len(curves))
    axes = figure.subplots()
    for curve in curves:
        sizes = curve.mean.index
        line = LINES[curve.line % len(LINES)]
        if curve.spread is None:
            axes.plot(sizes, curve.mean, color="black", linestyle=line, linewidth=1)
            axes.lines[-1].set_label(curve.label)
            continue
        axes.errorbar(
            sizes,
            curve.mean,
            yerr=curve.spread,
            marker=MARKERS[curve.marker % len(MARKERS)],
            capsize=3,
            color=COLORS[curve.color % len(COLORS)],
            linestyle=line,
            label=curve.label,
        )
    axes.set_xscale("log", base=2)
    ticks = sorted({int(size) for curve in curves for size in curve.mean.index})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    if log:
        _scale_log(axes)
    _style(axes, title, translator.translate(_("latent size")), label)
    return _finish(figure, columns=2)


def plane(points: list[Points], x: Axis, y: Axis, title: str, levels: dict[str, float]) -> Figure:
    """Draw points where two measures put them; `levels` are values of y to draw in by name."""
    figure = _half_page(len(points) + len(levels))
    axes = figure.subplots()
    for marks in points:
        axes.plot(
            marks.x,
            marks.y,
            color=marks.color,
            marker=marks.marker,
            markerfacecolor="none" if marks.hollow else marks.color,
            linestyle="",
            # PCA's dashes are wider than the runs' own marks.
            markersize=12 if marks.marker == "_" else 6,
            label=marks.label,
        )
        for name, place in zip(marks.names, zip(marks.x, marks.y, strict=True), strict=False):
            above = (0, 5)
            axes.annotate(name, place, above, textcoords="offset points", fontsize=7, ha="center")
    for index, (name, level) in enumerate(levels.items()):
        line = LINES[-1 - index]
        axes.axhline(level, color="black", linestyle=line, linewidth=1, label=name)
    if x.log:
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(-0.2, 2 * axes.dataLim.xmax)
    if y.log:
        _scale_log(axes)
    _style(axes, title, x.label, y.label)
    return _finish(figure, columns=2)


def kl_per_dimension(latent_stats: pd.DataFrame, translator: Translator) -> Figure:
    """Draw the KL of each latent dimension in falling order, nats, a line for each run."""
    say = translator.translate
    figure = _half_page(latent_stats["run"].nunique())
    axes = figure.subplots()
    for index, (run, rows) in enumerate(latent_stats.groupby("run", sort=False)):
        kl = np.sort(rows["kl"])[::-1]
        color = COLORS[index % len(COLORS)]
        line = LINES[index // len(COLORS) % len(LINES)]
        axes.plot(np.arange(1, len(kl) + 1), kl, label=str(run), color=color, linestyle=line)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_xscale("log")
    title = say(_("KL of each dimension, sorted"))
    _style(axes, title, say(_("dimension")), say(_("KL, nats")))
    return _finish(figure, columns=2)


def _half_page(num_labels: int) -> Figure:
    """Make a figure whose legend of two columns takes nothing from the axes."""
    width, height = HALF_PAGE
    rows = -(-num_labels // 2)
    return Figure(figsize=(width, height + max(0, rows - 2) * 0.17))


def _scale_log(axes: Axes) -> None:
    """Take logarithms of y, and write its numbers as they are, also where they fill no decade."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))


def _style(axes, title: str, x: str, y: str) -> None:  # type: ignore[no-untyped-def]  # no stubs
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _finish(figure: Figure, columns: int) -> Figure:
    """Put what the first axes show where it hides nothing, and each part where it has room.

    Once: as the figure's own property the layout would be found anew each time that it is saved.
    """
    shown = figure.axes[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=columns, fontsize=7)
    ConstrainedLayoutEngine().execute(figure)
    return figure
