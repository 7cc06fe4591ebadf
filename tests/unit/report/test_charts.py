"""Charts hold the rivals that were measured, and draw what a reader would miss."""

from pathlib import Path

import pytest

from pipeline.report.charts import distance_by_size, likelihood_by_size, rival_curves
from pipeline.report.i18n import ENGLISH, Translator
from pipeline.report.results import StudyResults, load_results

ENGLISH_TRANSLATOR = Translator(ENGLISH)


@pytest.fixture(scope="module")
def published() -> StudyResults:
    return load_results(Path(__file__).parents[3] / "reports")


def test_every_rival_that_was_measured_is_a_line(published: StudyResults) -> None:
    rivals = ("fd_pca", "fd_blurred_train", "fd_gaussian")
    alone = {k: v for k, v in published.baselines.items() if k not in rivals}
    published = published._replace(baselines=alone)
    assert [curve.label for curve in rival_curves(published, ENGLISH_TRANSLATOR)] == [
        "training images"
    ]
    measured = {
        "fd_pca": {"64": 700.0, "128": 400.0, "256": 200.0, "512": 70.0},
        "fd_blurred_train": {"64": 500.0},
        "fd_gaussian": 650.0,
    }
    study = published._replace(baselines=published.baselines | measured)
    curves = {curve.label: curve.mean for curve in rival_curves(study, ENGLISH_TRANSLATOR)}
    assert curves["PCA"].to_dict() == {64: 700.0, 128: 400.0, 256: 200.0, 512: 70.0}
    assert curves["blurred training images"].to_dict() == {64: 500.0}
    assert set(curves["Gaussian without latents"]) == {650.0}


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
