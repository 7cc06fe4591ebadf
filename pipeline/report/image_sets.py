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


# What the samples of the run's best prior score, under a name of its own.
OF_BEST_PRIOR = ("fd", "patch_fd", "precision", "recall", "coverage")
BEST_PRIOR = Metric(
    "best_prior",
    _("best prior"),
    _(
        "the prior whose samples have the least Fréchet distance to validation images, which no "
        "model was trained on"
    ),
    "sets",
)


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
    "patch_fd": Measure(
        _("patch distance"),
        _(
            "Fréchet distance of 8x8 patches as they are, pixels in [0, 1]: color, contrast and "
            "texture without a trained network, and no objects"
        ),
        "sets",
        3,
        False,
        "",
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

# Those that baselines.json has of real images and of rivals, too.
OF_FEATURES = tuple(key for key in MEASURES if key != "patch_fd")


def of_sets(table: str) -> tuple[Metric, ...]:
    """Return the table's measures of every set of images."""
    return tuple(
        _measured(key, images, *names)
        for key, measure in MEASURES.items()
        if measure.table == table
        for images, names in IMAGE_SETS.items()
    )


def of_best_prior(table: str) -> tuple[Metric, ...]:
    """Return the table's measures of the samples of each run's best prior."""
    names = (_("samples"), _("samples of the run's best prior"))
    return tuple(
        _measured(key, "samples", *names) for key in OF_BEST_PRIOR if MEASURES[key].table == table
    )


def on_validation_images() -> tuple[Metric, ...]:
    """Return each prior's distance to validation images, by which the best is chosen."""
    return tuple(
        Metric(
            f"val_fd_samples_{prior}",
            _("Fréchet distance to validation images, {images}", images=short),
            _("Fréchet distance to validation images, {images}", images=full),
            "sets",
            digits=1,
            greater_is_better=False,
        )
        for prior, (short, full) in PRIORS.items()
    )


def of_training_images() -> tuple[Metric, ...]:
    """Return every measure of the training images' features: what real images score."""
    name = _("training images")
    return tuple(_measured(key, "train_vs_test", name, name, "baselines") for key in OF_FEATURES)


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
