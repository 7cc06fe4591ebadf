"""Each run is a point, a collapsed one hollow, with what a reader would compare it to."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.evaluation.reconstruction import psnr
from pipeline.report.i18n import ENGLISH, Translator
from pipeline.report.planes import perception_distortion, rate_distance, rate_distortion
from pipeline.report.results import StudyResults, load_results

TRANSLATOR = Translator(ENGLISH)


@pytest.fixture(scope="module")
def published() -> StudyResults:
    return load_results(Path(__file__).parents[3] / "reports")


@pytest.fixture(scope="module")
def measured(published: StudyResults) -> StudyResults:
    """Return the published study as if its controls and rivals had been measured."""
    rivals = {"fd_pca": {"64": 700.0, "512": 70.0}, "fd_gaussian": 650.0}
    alone = np.arange(len(published.summary)) + 3000.0
    return published._replace(
        summary=published.summary.assign(fd_null_code=alone),
        baselines=published.baselines | rivals,
    )


def legend(figure: Figure) -> list[str]:
    return figure.axes[0].get_legend_handles_labels()[1]


def test_distance_against_rate_has_every_run_and_what_it_does_without_a_code(
    measured: StudyResults,
) -> None:
    figure = rate_distance(measured, TRANSLATOR).figure
    (axes,) = figure.axes
    assert legend(figure) == [
        "original",
        "pca_refined",
        "collapsed",
        "the same decoder without a code, z = 0",
        "training images",
        "Gaussian without latents",
    ]
    by_label = {line.get_label(): line for line in axes.lines}
    used = measured.summary[measured.summary["variant"] == "pca_refined"]
    assert list(by_label["pca_refined"].get_xdata()) == list(used["test_kl"])
    assert list(by_label["pca_refined"].get_ydata()) == list(used["fd_samples_gmm"])
    assert by_label["original"].get_markerfacecolor() == "none"
    assert by_label["pca_refined"].get_markerfacecolor() != "none"
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert sorted(y for line in crosses for y in line.get_ydata()) == list(range(3000, 3008))
    assert [text.get_text() for text in axes.texts] == ["64", "128", "256", "512"]
    left, _right = axes.get_xlim()
    assert left < 0, "a rate of zero is inside"


def test_perception_against_distortion_has_pca_of_each_size_that_was_measured(
    measured: StudyResults,
) -> None:
    figure = perception_distortion(measured, TRANSLATOR).figure
    by_label = {line.get_label(): line for line in figure.axes[0].lines}
    errors = measured.baselines["pca_mse"]
    assert list(by_label["PCA"].get_xdata()) == [psnr(errors[64]), psnr(errors[512])]
    assert list(by_label["PCA"].get_ydata()) == [700.0, 70.0]
    floor = by_label["training images"].get_ydata()
    assert set(floor) == {measured.baselines["fd_train_vs_test"]}


def test_what_was_not_measured_is_not_drawn(published: StudyResults) -> None:
    rivals = ("fd_pca", "fd_blurred_train", "fd_gaussian")
    baselines = {k: v for k, v in published.baselines.items() if k not in rivals}
    summary = published.summary.assign(fd_null_code=float("nan"))
    published = published._replace(baselines=baselines, summary=summary)
    assert legend(perception_distortion(published, TRANSLATOR).figure) == [
        "original",
        "pca_refined",
        "collapsed",
        "training images",
    ]
    assert "without a code" not in " ".join(legend(rate_distance(published, TRANSLATOR).figure))


def test_rate_and_distortion_stand_beside_pca(published: StudyResults) -> None:
    levels = ("PCA of that size", "mean image")
    figure = rate_distortion(published, TRANSLATOR).figure
    assert legend(figure) == ["original", "pca_refined", "collapsed", *levels]
