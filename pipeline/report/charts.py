"""Which charts the report has, of which numbers."""

from collections.abc import Iterable, Iterator

import pandas as pd

from pipeline.report import figures, planes
from pipeline.report.chart import Chart
from pipeline.report.diagnosis import run_label, without_collapse
from pipeline.report.figures import Curve
from pipeline.report.folding import fold
from pipeline.report.i18n import ENGLISH, Message, Translator, _
from pipeline.report.image_sets import IMAGE_SETS
from pipeline.report.metrics import REGISTRY
from pipeline.report.results import StudyResults
from pipeline.report.rivals import (
    GAUSSIAN,
    RIVAL_SETS,
    TRAINING_IMAGES,
    pca_psnr,
    ppca_bits,
    rival_values,
)


def overview(study: StudyResults, translator: Translator) -> Chart:
    """Show the same test images for every run, labeled with what it was judged."""
    say = translator.translate
    first = next(iter(study.pictures.values()))
    rows = [(say(_("test images")), first["originals"][0])]
    for run in study.summary.loc[fold(study.summary).overview].itertuples():
        label = f"{run.run}\n{say(run_label(run))}"
        rows.append((label, study.pictures[run.run]["reconstructions"][0]))
    alt = _("Test images and, below them, what each run makes of them, with its verdict and PSNR")
    return Chart("overview", alt, figures.strips(rows))


def reconstruction_charts(study: StudyResults, translator: Translator) -> Iterator[Chart]:
    """Yield charts of reconstructions and likelihood."""
    if len(study.params.grid.latent_dims) > 1:
        yield psnr_by_size(study, translator)
        if study.summary["bits_per_dim"].notna().any():
            yield likelihood_by_size(study, translator)
        yield explained_by_size(study, translator)
    yield planes.rate_distortion(study, translator)


def latent_charts(study: StudyResults, translator: Translator) -> Iterator[Chart]:
    """Yield the chart of how much each dimension of the codes holds."""
    yield Chart(
        "kl-per-dimension",
        _("KL of each dimension, sorted"),
        figures.kl_per_dimension(study.latent_stats, translator),
    )


def plane_charts(study: StudyResults, translator: Translator) -> Iterator[Chart]:
    """Yield the two planes: how near reconstructions are, and what samples owe to the code."""
    yield planes.perception_distortion(study, translator)
    yield planes.rate_distance(study, translator)


def generation_charts(study: StudyResults, translator: Translator) -> Iterator[Chart]:
    """Yield the chart of sets of images against latent size, where there are several."""
    if len(study.params.grid.latent_dims) > 1:
        yield distance_by_size(study, translator)


def psnr_by_size(study: StudyResults, translator: Translator) -> Chart:
    """Draw PSNR against latent size, with PCA and the mean image."""
    sizes = sorted(study.params.grid.latent_dims)
    pca = pd.Series({size: pca_psnr(study.baselines, size) for size in sizes})
    mean_image = pca_psnr(study.baselines, 0)
    curves = [
        *metric_curves(study.summary, "psnr_db"),
        reference(_("PCA of that size"), pca, translator, line=1),
        reference(_("mean image"), level(sizes, mean_image), translator, line=2),
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


def likelihood_by_size(study: StudyResults, translator: Translator) -> Chart:
    """Draw bits per dimension against latent size, with what needs no training."""
    sizes = sorted(study.params.grid.latent_dims)
    curves = list(metric_curves(study.summary, "bits_per_dim"))
    ppca = pd.Series({size: ppca_bits(study.baselines, size) for size in sizes})
    curves.append(reference(_("probabilistic PCA of that size"), ppca, translator, line=1))
    gaussian = level(sizes, study.baselines["gaussian_bits_per_dim"])
    curves.append(reference(GAUSSIAN, gaussian, translator, line=2))
    alt = _("Bits per dimension against latent size, with probabilistic PCA and a Gaussian")
    return _size_chart("bits-per-dim", alt, curves, "bits_per_dim", translator)


def distance_by_size(study: StudyResults, translator: Translator) -> Chart:
    """Draw the Fréchet distance of every set of images against latent size, and the rivals'.

    Of the runs that did not collapse, if there is any: the others' is many times as large.
    """
    used = without_collapse(study.summary)
    summary = study.summary if used.empty else used
    curves: list[Curve] = []
    for number, (images, names) in enumerate(IMAGE_SETS.items()):
        name = translator.translate(names[0])
        curves += metric_curves(summary, f"fd_{images}", name, color=number)
    curves += rival_curves(study, translator)
    alt = _("Fréchet distance of reconstructions and of samples against latent size")
    title = translator.translate(_("Fréchet distance to test images"))
    label = translator.translate(_("Fréchet distance"))
    figure = figures.by_latent_dim(curves, title, label, translator, log=True)
    return Chart("frechet-distance", alt, figure)


def rival_curves(study: StudyResults, translator: Translator) -> Iterator[Curve]:
    """Yield the Fréchet distances of training images and of every rival."""
    sizes = sorted(study.params.grid.latent_dims)
    floor = level(sizes, study.baselines["fd_train_vs_test"])
    yield reference(TRAINING_IMAGES, floor, translator, line=1)
    for index, (key, name, _image_sets) in enumerate(RIVAL_SETS):
        values = dict(rival_values(study.baselines, f"fd_{key}", sizes))
        by_size = level(sizes, values[None]) if None in values else pd.Series(values)
        yield reference(name, by_size, translator, line=2 + index)


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
