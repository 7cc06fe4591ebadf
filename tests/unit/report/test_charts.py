"""Charts hold every rival, and draw what a reader would miss."""

from pathlib import Path

import pytest

from pipeline.report.charts import distance_by_size, likelihood_by_size, rival_curves
from pipeline.report.i18n import ENGLISH, Translator
from pipeline.report.results import StudyResults, load_results

ENGLISH_TRANSLATOR = Translator(ENGLISH)


@pytest.fixture(scope="module")
def published() -> StudyResults:
    return load_results(Path(__file__).parents[3] / "reports")


def test_every_rival_is_a_line(published: StudyResults) -> None:
    curves = {curve.label: curve.mean for curve in rival_curves(published, ENGLISH_TRANSLATOR)}
    known = published.baselines
    assert set(curves["training images"]) == {known["fd_train_vs_test"]}
    for name, key in (("PCA", "fd_pca"), ("blurred training images", "fd_blurred_train")):
        assert {str(size): value for size, value in curves[name].items()} == known[key]
    assert set(curves["Gaussian without latents"]) == {known["fd_gaussian"]}


def test_likelihood_is_drawn_beside_the_gaussian(published: StudyResults) -> None:
    (axes,) = likelihood_by_size(published, ENGLISH_TRANSLATOR).figure.axes
    _handles, labels = axes.get_legend_handles_labels()
    assert labels[:2] == ["probabilistic PCA of that size", "Gaussian without latents"]


def test_a_label_fits_its_axis(published: StudyResults) -> None:
    figure = distance_by_size(published, Translator("uk")).figure
    figure.draw_without_rendering()
    (axes,) = figure.axes
    box = axes.yaxis.label.get_window_extent()
    assert 0 <= box.y0 <= box.y1 <= figure.bbox.height
