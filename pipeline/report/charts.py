"""Which charts the report has, of which numbers."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from pipeline.evaluation.reconstruction import psnr
from pipeline.report import figures
from pipeline.report.diagnosis import run_label
from pipeline.report.figures import Curve
from pipeline.report.i18n import ENGLISH, Message, Translator, _
from pipeline.report.image_sets import IMAGE_SETS
from pipeline.report.metrics import REGISTRY
from pipeline.report.results import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Chart(NamedTuple):
    """A figure with the name of its file and what it shows in words."""

    name: str
    alt: Message
    figure: "Figure"


def overview(study: StudyResults, translator: Translator) -> Chart:
    """Show the same test images for every run, labeled with what it was judged."""
    say = translator.translate
    first = next(iter(study.pictures.values()))
    rows = [(say(_("test images")), first["originals"][0])]
    for run in study.summary.itertuples():
        label = f"{run.run}\n{say(run_label(run))}"
        rows.append((label, study.pictures[run.run]["reconstructions"][0]))
    alt = _("Test images and, below them, what each run makes of them, with its verdict and PSNR")
    return Chart("overview", alt, figures.strips(rows))


def quality_charts(study: StudyResults, translator: Translator) -> Iterator[Chart]:
    """Yield charts of how good the models are."""
    if len(study.params.grid.latent_dims) > 1:
        yield psnr_by_size(study, translator)
        yield explained_by_size(study, translator)
        yield distance_by_size(study, translator)
    mean_image = psnr(study.baselines["pca_mse"][0])
    yield Chart(
        "rate-distortion",
        _("Distortion against rate, a point for each run, with PCA's distortion drawn in"),
        figures.rate_distortion(study.summary, mean_image, translator),
    )
    yield Chart(
        "kl-per-dimension",
        _("KL of each dimension, sorted"),
        figures.kl_per_dimension(study.latent_stats, translator),
    )


def psnr_by_size(study: StudyResults, translator: Translator) -> Chart:
    """Draw PSNR against latent size, with PCA and the mean image."""
    errors = study.baselines["pca_mse"]
    sizes = sorted(study.params.grid.latent_dims)
    pca = pd.Series({size: psnr(max(errors[size], 1e-12)) for size in sizes})
    curves = [
        *metric_curves(study.summary, "psnr_db"),
        reference(_("PCA of that size"), pca, translator, line=1),
        reference(_("mean image"), level(sizes, psnr(errors[0])), translator, line=2),
    ]
    alt = _("PSNR against latent size, with PCA and the mean image")
    return _size_chart("psnr", alt, curves, "psnr_db", translator)


def explained_by_size(study: StudyResults, translator: Translator) -> Chart:
    """Draw explained information against latent size; the mean image explains nothing."""
    sizes = study.params.grid.latent_dims
    curves = [
        *metric_curves(study.summary, "explained_information"),
        reference(_("mean image"), level(sizes, 0.0), translator, line=1),
    ]
    alt = _("Explained information against latent size")
    return _size_chart("explained-information", alt, curves, "explained_information", translator)


def distance_by_size(study: StudyResults, translator: Translator) -> Chart:
    """Draw the Fréchet distance of every set of images against latent size."""
    curves: list[Curve] = []
    for number, (images, names) in enumerate(IMAGE_SETS.items()):
        name = translator.translate(names[0])
        curves += metric_curves(study.summary, f"fd_{images}", name, color=number)
    floor = level(study.params.grid.latent_dims, study.baselines["fd_train_vs_test"])
    curves.append(reference(_("training images"), floor, translator, line=1))
    alt = _("Fréchet distance of reconstructions and of samples against latent size")
    label = translator.translate(_("Fréchet distance to test images"))
    figure = figures.by_latent_dim(curves, label, label, translator)
    return Chart("frechet-distance", alt, figure)


def loss_charts(study: StudyResults, translator: Translator) -> Iterator[Chart]:
    """Yield a chart of the losses of each variant."""
    for variant in study.params.grid.variants:
        history = study.history[study.history["variant"] == variant]
        levels = _loss_levels(study, variant, translator)
        alt = _("Loss and KL of {variant} by epoch", variant=variant)
        figure = figures.loss_curves(history, variant, translator, levels)
        yield Chart(f"loss-{variant}", alt, figure)


def training_curves(history: pd.DataFrame, name: str) -> bytes:
    """Return one run's loss and KL by epoch as PNG, in English: what MLflow shows of it."""
    return figures.png(figures.loss_curves(history, name, Translator(ENGLISH)))


def metric_curves(
    summary: pd.DataFrame, key: str, name: str = "", color: int | None = None
) -> Iterator[Curve]:
    """Yield a metric's curve for each variant that has it; without `color` each has its own."""
    for index, (variant, rows) in enumerate(summary.groupby("variant", sort=False)):
        by_size = rows.dropna(subset=[key]).groupby("latent_dim")[key]
        if by_size.ngroups:
            yield Curve(
                f"{variant} {name}".strip(),
                by_size.mean(),
                by_size.std().fillna(0.0),
                color=index if color is None else color,
                line=index,
                marker=0 if color is None else color,
            )


def reference(name: Message, values: pd.Series, translator: Translator, line: int) -> Curve:
    """Return a line that needs no training."""
    return Curve(translator.translate(name), values, line=line)


def level(sizes: Iterable[int], value: float) -> pd.Series:
    """Return one value for every latent size."""
    return pd.Series(value, index=sorted(sizes))


def _size_chart(
    name: str, alt: Message, curves: list[Curve], key: str, translator: Translator
) -> Chart:
    metric = REGISTRY[key]
    title = translator.translate(metric.title)
    label = translator.translate(metric.head)
    return Chart(name, alt, figures.by_latent_dim(curves, title, label, translator))


def _loss_levels(study: StudyResults, variant: str, translator: Translator) -> dict[str, float]:
    """Return the cost of the mean image and of perfection, where the loss has their scale."""
    loss = study.params.recipe(variant).loss
    if loss.likelihood != "bernoulli" or loss.reduction != "mean":
        return {}
    row = study.summary[study.summary["variant"] == variant].iloc[0]
    say = translator.translate
    return {
        say(_("mean image")): float(row["train_mean_image_bce"]),
        say(_("perfect reconstruction")): float(row["train_bce_perfect"]),
    }
