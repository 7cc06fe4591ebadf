"""Charts in which each run is a point: what two measures say of it at once."""

from collections.abc import Iterator

import pandas as pd

from pipeline.report.chart import Chart
from pipeline.report.diagnosis import LABELS, without_collapse
from pipeline.report.figures import COLORS, MARKERS, Axis, Points, plane
from pipeline.report.i18n import Translator, _
from pipeline.report.results import StudyResults
from pipeline.report.rivals import (
    GAUSSIAN,
    MEAN_IMAGE,
    PCA,
    TRAINING_IMAGES,
    pca_psnr,
    rival_values,
)

PCA_OF_THAT_SIZE = _("PCA of that size")
KL = _("KL, nats/image")
PSNR = _("PSNR, dB")
DISTANCE = _("Fréchet distance")


def rate_distortion(study: StudyResults, translator: Translator) -> Chart:
    """Put PSNR against rate, with PCA's of each run's size and the mean image's.

    PCA's scores have no rate: it stands at the runs', or where there is one size, across them.
    """
    say = translator.translate
    points = list(run_points(study.summary, "test_kl", "psnr_db", translator))
    used = without_collapse(study.summary)
    levels = {say(MEAN_IMAGE): pca_psnr(study.baselines, 0)}
    sizes = study.params.grid.latent_dims
    if len(sizes) == 1:
        levels[say(PCA_OF_THAT_SIZE)] = pca_psnr(study.baselines, sizes[0])
    else:
        points += [
            Points("", rows["test_kl"], rows["pca_psnr_db"], color, "_")
            for rows, color, _marker in by_variant(study.summary, used)
        ]
        points.append(legend_entry(say(PCA_OF_THAT_SIZE), "_"))
    title = say(_("Rate and distortion"))
    return Chart(
        "rate-distortion",
        _("PSNR against rate, a point for each run, and PCA's PSNR, whose scores have no rate"),
        plane(points, Axis(say(KL)), Axis(say(PSNR)), title, levels),
    )


def perception_distortion(study: StudyResults, translator: Translator) -> Chart:
    """Put the distance of reconstructions against their PSNR, with PCA's and the floor."""
    say = translator.translate
    points = list(run_points(study.summary, "psnr_db", "fd_reconstruction", translator))
    sizes = study.params.grid.latent_dims
    distances = pd.Series(dict(rival_values(study.baselines, "fd_pca", sizes)))
    faithful = pd.Series({size: pca_psnr(study.baselines, size) for size in distances.index})
    names = [str(size) for size in distances.index]
    points.append(Points(say(PCA), faithful, distances, "black", "_", names))
    title = say(_("Perception and distortion of reconstructions"))
    distance = Axis(say(DISTANCE), log=True)
    levels = {say(TRAINING_IMAGES): study.baselines["fd_train_vs_test"]}
    return Chart(
        "perception-distortion",
        _("Fréchet distance of reconstructions against their PSNR, a point for each run"),
        plane(points, Axis(say(PSNR)), distance, title, levels),
    )


def rate_distance(study: StudyResults, translator: Translator) -> Chart:
    """Put the distance of samples against the rate, beside what a decoder draws without a code."""
    say = translator.translate
    points = list(run_points(study.summary, "test_kl", "fd_samples", translator))
    points += [
        Points("", rows["test_kl"], rows["fd_null_code"], color, "x")
        for rows, color, _marker in by_variant(study.summary, study.summary)
    ]
    points.append(legend_entry(say(_("the same decoder without a code, z = 0")), "x"))
    levels = {
        say(TRAINING_IMAGES): study.baselines["fd_train_vs_test"],
        say(GAUSSIAN): study.baselines["fd_gaussian"],
    }
    title = say(_("Rate of the code and distance of samples"))
    distance = Axis(say(DISTANCE), log=True)
    return Chart(
        "rate-distance",
        _("Fréchet distance of the best prior's samples against the rate, a point for each run"),
        plane(points, Axis(say(KL), log=True), distance, title, levels),
    )


def by_variant(
    summary: pd.DataFrame, rows: pd.DataFrame
) -> Iterator[tuple[pd.DataFrame, str, str]]:
    """Yield those of the rows that each variant of the study has, with its color and marker."""
    for index, variant in enumerate(summary["variant"].unique()):
        color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
        yield rows[rows["variant"] == variant], color, marker


def run_points(summary: pd.DataFrame, x: str, y: str, translator: Translator) -> Iterator[Points]:
    """Yield every variant's runs, named by their latent sizes; collapsed ones are hollow."""
    several = summary["latent_dim"].nunique() > 1
    for rows, color, marker in by_variant(summary, summary):
        label = str(rows["variant"].iloc[0])
        used = without_collapse(rows)
        collapsed = rows.drop(used.index)
        names = list(used["latent_dim"].astype(str)) if several else []
        if not used.empty:
            yield Points(label, used[x], used[y], color, marker, names)
            label = ""
        if not collapsed.empty:
            yield Points(label, collapsed[x], collapsed[y], color, marker, hollow=True)
    if len(without_collapse(summary)) < len(summary):
        yield legend_entry(translator.translate(LABELS["collapsed"]), "o")._replace(hollow=True)


def legend_entry(label: str, marker: str) -> Points:
    """Explain a mark that several variants have, in their colors."""
    return Points(label, pd.Series(dtype=float), pd.Series(dtype=float), marker=marker)
