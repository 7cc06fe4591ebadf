"""Which charts the report has, of which numbers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.evaluation.reconstruction import psnr
from pipeline.report import figures
from pipeline.report.i18n import Translator
from pipeline.report.results import StudyResults
from pipeline.report.tables import IMAGE_SETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def overview(study: StudyResults, words: Translator, labels: dict[str, str]) -> "Figure":
    """The same test images for every run, whose labels say what it was judged and how good it is."""
    rows = [(words["words"]["test_images"], next(iter(study.pictures.values()))["originals"][0])]
    rows += [
        (f"{run}\n{labels[run]}", shown["reconstructions"][0])
        for run, shown in study.pictures.items()
    ]
    return figures.strips(rows)


def quality_charts(study: StudyResults, words: Translator) -> Iterator[tuple[str, "Figure"]]:
    """How good the models are; each chart with its name, which is its file's."""
    labels, summary, baselines = words["axes"], study.summary, study.baselines
    if len(study.params.study.latent_dims) > 1:
        yield from size_charts(study, words)
    mean_image = psnr(baselines["pca_mse"][0])
    yield "rate-distortion", figures.rate_distortion(summary, labels, mean_image)
    yield "kl-per-dimension", figures.kl_per_dimension(study.dimensions, labels)


def size_charts(study: StudyResults, words: Translator) -> Iterator[tuple[str, "Figure"]]:
    """Quality against latent size, with what needs no training drawn in."""
    labels, summary, baselines = words["axes"], study.summary, study.baselines
    sizes = sorted(study.params.study.latent_dims)

    def level(value: float) -> pd.Series:
        return pd.Series(value, index=sizes)

    pca = pd.Series({size: psnr(max(baselines["pca_mse"][size], 1e-12)) for size in sizes})
    references = {labels["pca"]: pca, labels["mean_image"]: level(psnr(baselines["pca_mse"][0]))}
    yield (
        "psnr",
        figures.by_latent_dim(summary, {"psnr_db": ""}, labels["psnr"], labels, references),
    )
    zero, explained = {labels["mean_image"]: level(0.0)}, {"explained_information": ""}
    yield (
        "explained-information",
        figures.by_latent_dim(summary, explained, labels["explained"], labels, zero),
    )
    floor = {labels["noise_floor"]: level(baselines["fd_floor"])}
    distances = {
        f"fd_{of}": str(words["priors_short"].get(of, words["axes"]["reconstruction"]))
        for of in IMAGE_SETS
    }
    yield (
        "frechet-distance",
        figures.by_latent_dim(summary, distances, labels["frechet"], labels, floor),
    )


def loss_charts(study: StudyResults, words: Translator) -> Iterator[tuple[str, "Figure"]]:
    """A chart of the losses for each variant, with the mean image's where the loss has its scale."""
    for variant in study.params.study.variants:
        history = study.history[study.history["variant"] == variant]
        rows = study.summary[study.summary["variant"] == variant]
        objective = study.params.recipe(variant).objective
        levels: list[float | None] = [None, None]
        if objective.likelihood == "bernoulli" and objective.reduction == "mean":
            levels = [
                float(rows["train_mean_image_bce"].iloc[0]),
                float(rows["train_bce_floor"].iloc[0]),
            ]
        yield f"loss-{variant}", figures.loss_curves(history, variant, words["axes"], *levels)
