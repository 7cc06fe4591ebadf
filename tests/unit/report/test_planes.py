"""Each run is a point, a collapsed one hollow, with what a reader would compare it to."""

from pathlib import Path

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


def legend(figure: Figure) -> list[str]:
    return figure.axes[0].get_legend_handles_labels()[1]


def test_distance_against_rate_has_every_run_and_what_it_does_without_a_code(
    published: StudyResults,
) -> None:
    figure = rate_distance(published, TRANSLATOR).figure
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
    used = published.summary[published.summary["variant"] == "pca_refined"]
    assert list(by_label["pca_refined"].get_xdata()) == list(used["test_kl"])
    assert list(by_label["pca_refined"].get_ydata()) == list(used["fd_samples"])
    assert by_label["original"].get_markerfacecolor() == "none"
    assert by_label["pca_refined"].get_markerfacecolor() != "none"
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    alone = [y for line in crosses for y in line.get_ydata()]
    assert sorted(alone) == sorted(published.summary["fd_null_code"])
    assert [text.get_text() for text in axes.texts] == ["64", "128", "256", "512"]
    left, _right = axes.get_xlim()
    assert left < 0, "a rate of zero is inside"


def test_perception_against_distortion_has_pca_of_each_size(published: StudyResults) -> None:
    """In whatever order params.yaml lists the sizes."""
    backwards = {"latent_dims": [512, 256, 128, 64]}
    grid = published.params.grid.model_copy(update=backwards)
    published = published._replace(params=published.params.model_copy(update={"grid": grid}))
    figure = perception_distortion(published, TRANSLATOR).figure
    by_label = {line.get_label(): line for line in figure.axes[0].lines}
    errors, sizes = published.baselines["pca_mse"], (64, 128, 256, 512)
    assert list(by_label["PCA"].get_xdata()) == [psnr(errors[size]) for size in sizes]
    assert list(by_label["PCA"].get_ydata()) == list(published.baselines["fd_pca"].values())
    floor = by_label["training images"].get_ydata()
    assert set(floor) == {published.baselines["fd_train_vs_test"]}


def test_rate_and_distortion_stand_beside_pca(published: StudyResults) -> None:
    levels = ("PCA of that size", "mean image")
    figure = rate_distortion(published, TRANSLATOR).figure
    assert legend(figure) == ["original", "pca_refined", "collapsed", *levels]


def test_of_one_size_pca_is_a_line_across_the_rates(published: StudyResults) -> None:
    grid = published.params.grid.model_copy(update={"latent_dims": [64]})
    one = published._replace(
        params=published.params.model_copy(update={"grid": grid}),
        summary=published.summary[published.summary["latent_dim"] == 64],
    )
    by_label = {
        line.get_label(): line for line in rate_distortion(one, TRANSLATOR).figure.axes[0].lines
    }
    assert set(by_label["PCA of that size"].get_ydata()) == {
        psnr(published.baselines["pca_mse"][64])
    }
