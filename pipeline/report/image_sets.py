"""The metrics of sets of images: every measure of every set, made here once for all of them."""

from typing import NamedTuple

from pipeline.report.i18n import Message, _
from pipeline.report.metric import Metric

# How each prior is called, and what its codes are.
PRIORS = {
    "normal": (_("z ~ N(0, I)"), _("samples with z ~ N(0, I)")),
    "gmm": (
        _("z ~ Gaussian mixture"),
        _(
            "samples with z from a mixture of full-covariance Gaussians, "
            "40 where the codes are enough"
        ),
    ),
    "two_stage": (_("z ~ second-stage VAE"), _("samples with z from a second-stage VAE")),
}
# Each set of images with its short name and what it is.
IMAGE_SETS = {"reconstruction": (_("reconstructions"), _("reconstructions"))} | {
    f"samples_{prior}": names for prior, names in PRIORS.items()
}


class Measure(NamedTuple):
    """How far a set of images is from the test images, by their features."""

    title: Message
    description: Message
    table: str
    digits: int
    greater_is_better: bool
    source: str


MEASURES = {
    "fd": Measure(
        _("Fréchet distance"),
        _("Fréchet distance (not FID unless the extractor is Inception)"),
        "sets",
        1,
        False,
        "Heusel et al. 2017, eq. 6",
    ),
    "kd": Measure(
        _("kernel distance"),
        _("kernel distance (squared MMD)"),
        "sets",
        4,
        False,
        "Bińkowski et al. 2018, sec. 4",
    ),
    "precision": Measure(
        _("precision"),
        _("precision: share of images inside the test images' manifold"),
        "coverage",
        4,
        True,
        "Kynkäänniemi et al. 2019",
    ),
    "recall": Measure(
        _("recall"),
        _("recall: share of test images inside the images' manifold"),
        "coverage",
        4,
        True,
        "Kynkäänniemi et al. 2019",
    ),
    "density": Measure(
        _("density"),
        _("density: how often images fall into the test images' neighborhoods"),
        "coverage",
        4,
        True,
        "Naeem et al. 2020",
    ),
    "coverage": Measure(
        _("coverage"),
        _("coverage: share of test images with an image in their neighborhood"),
        "coverage",
        4,
        True,
        "Naeem et al. 2020",
    ),
}


def of_sets(table: str) -> tuple[Metric, ...]:
    """Return the table's measures of every set of images."""
    return tuple(
        _measured(key, images, *names)
        for key, measure in MEASURES.items()
        if measure.table == table
        for images, names in IMAGE_SETS.items()
    )


def of_best_prior() -> tuple[Metric, ...]:
    """Return the measures of the samples of each run's best prior, where those are compared."""
    names = (_("samples"), _("samples of the run's best prior"))
    keys = ("fd", "precision", "recall", "coverage")
    return tuple(_measured(key, "samples", *names, "comparison") for key in keys)


def of_training_images() -> tuple[Metric, ...]:
    """Return every measure of the training images: what real images score."""
    name = _("training images")
    return tuple(_measured(key, "train_vs_test", name, name, "baselines") for key in MEASURES)


def _measured(
    key: str, images: str, short: Message, full: Message, table: str | None = None
) -> Metric:
    """Build the metric `key_images`."""
    measure = MEASURES[key]
    return Metric(
        f"{key}_{images}",
        _("{measure}, {images}", measure=measure.title, images=short),
        _(
            "{measure}, {images} against test images; features and N: see the method",
            measure=measure.description,
            images=full,
        ),
        table or measure.table,
        digits=measure.digits,
        greater_is_better=measure.greater_is_better,
        source=measure.source,
    )
