"""The registry of metrics: title, unit, digits, direction, table, description and source of each.

Tables, glossary, docs/metrics.md, the signs of comparisons and the champion's direction come from
here. A new metric is its computation, one row and its translation.
"""

from pipeline import UserError
from pipeline.report import control_metrics, image_sets, quality_metrics, run_metrics
from pipeline.report.i18n import Message, _
from pipeline.report.metric import BITS_PER_DIM, NATS_PER_DIM, Metric

# Tables of runs with their headings, in the order of the report.
TABLES: dict[str, Message] = {
    "latents": _("Is the code used?"),
    "quality": _("How good are reconstructions and likelihood?"),
    "sets": _("How good are sets of images?"),
    "controls": _("What a generated image proves"),
    "coverage": _("Precision, recall, density, coverage"),
    "cost": _("What each run cost"),
}

NEIGHBORS = Metric(
    "nn_distance_ratio",
    _("novelty"),
    _(
        "median distance of samples to the nearest training image / that of test images; "
        "well below 1 the samples are copies"
    ),
    "sets",
)
BASELINES = (
    Metric(
        "gaussian_bits_per_dim",
        _("likelihood of a Gaussian"),
        _("− log likelihood of a Gaussian with full covariance, fitted to the training images"),
        "baselines",
        BITS_PER_DIM,
    ),
    Metric(
        "mean_image_bce",
        _("BCE of the mean image"),
        _("cross-entropy of the test images if the mean training image is predicted"),
        "baselines",
        NATS_PER_DIM,
    ),
    Metric(
        "bce_perfect",
        _("BCE of a perfect reconstruction"),
        _("mean entropy of the test images' pixel-channels, the least possible cross-entropy"),
        "baselines",
        NATS_PER_DIM,
    ),
    Metric(
        "fd_pca",
        _("Fréchet distance of PCA"),
        _("Fréchet distance of PCA's reconstructions, by number of components"),
        "baselines",
        digits=1,
    ),
    Metric(
        "fd_blurred_train",
        _("Fréchet distance of blurred training images"),
        _("Fréchet distance of training images with as much blur as the runs' images"),
        "baselines",
        digits=1,
    ),
    Metric(
        "fd_gaussian",
        _("Fréchet distance of a Gaussian"),
        _("Fréchet distance of samples of a Gaussian with full covariance, without latents"),
        "baselines",
        digits=1,
    ),
)

REGISTRY: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        *run_metrics.RUN,
        *run_metrics.LATENTS,
        *quality_metrics.QUALITY,
        *image_sets.of_sets("sets"),
        *image_sets.of_best_prior("sets"),
        image_sets.BEST_PRIOR,
        *image_sets.on_validation_images(),
        NEIGHBORS,
        *control_metrics.CONTROLS,
        *image_sets.of_sets("coverage"),
        *image_sets.of_best_prior("coverage"),
        *run_metrics.COST,
        *BASELINES,
        *image_sets.of_training_images(),
    )
}


def in_table(name: str) -> list[Metric]:
    """Return the metrics that the table `name` shows, in order."""
    return [metric for metric in REGISTRY.values() if metric.table == name]


def summary_columns() -> list[str]:
    """Return the columns that summary.csv starts with: those that the report shows."""
    return [metric.key for table in ("run", *TABLES) for metric in in_table(table)]


def greater_is_better(key: str) -> bool:
    """Say which direction of a metric of runs is better.

    Raises UserError, with the metrics that are allowed, if it is unknown or has no direction.
    """
    directions = {
        metric.key: metric.greater_is_better
        for table in TABLES
        for metric in in_table(table)
        if metric.greater_is_better is not None
    }
    if key not in directions:
        raise UserError(f"no run is better for its {key!r}; allowed: {', '.join(directions)}")
    return directions[key]
