"""The metrics of one run: what it is, whether its code is used, what it cost.

Those of its images are in quality_metrics.py, control_metrics.py and image_sets.py.
"""

from pipeline.report.i18n import _
from pipeline.report.metric import (
    FLOPS_PER_IMAGE,
    IMAGES_PER_SECOND,
    NATS,
    NATS_PER_DIM,
    NATS_PER_IMAGE,
    SECONDS,
    Metric,
)

RUN = (
    Metric("variant", _("variant"), _("recipe, as named in params.yaml"), "run"),
    Metric("latent_dim", _("latent size"), _("size of the latent vector"), "run", digits=0),
    Metric(
        "seed",
        _("seed"),
        _("seed of initial weights, data order, augmentation and noise"),
        "run",
        digits=0,
    ),
)

LATENTS = (
    Metric("epochs", _("epochs"), _("epochs trained"), "latents", digits=0),
    Metric(
        "collapse_label",
        _("collapse"),
        _("collapsed, partly collapsed or healthy; see the method"),
        "latents",
    ),
    Metric(
        "active_units",
        _("active units"),
        _("dimensions with Var[mu] over the test images above `evaluate.active_threshold`"),
        "latents",
        digits=0,
        greater_is_better=True,
        source="Burda et al. 2016, sec. 4.2",
    ),
    Metric(
        "test_kl",
        _("KL"),
        _("KL(q(z|x) ‖ N(0, I)), summed over dimensions, mean over test images"),
        "latents",
        NATS_PER_IMAGE,
        digits=2,
        source="Kingma & Welling 2014, app. B",
    ),
    Metric(
        "shuffle_gain",
        _("shuffle gain"),
        _("1 − MSE with own code / MSE with another image's code; 0: the decoder ignores z"),
        "latents",
        greater_is_better=True,
    ),
    Metric(
        "mutual_information",
        _("mutual information"),
        _(
            "estimate of I(x; z), which cannot exceed the logarithm of the number of images; "
            "“at least” where it stands at that bound"
        ),
        "latents",
        NATS,
        digits=2,
        greater_is_better=True,
        source="Hoffman & Johnson 2016",
    ),
    Metric(
        "probe_accuracy_z",
        _("probe accuracy"),
        _(
            "test accuracy of a logistic regression from a standardized sample of the code, which "
            "is what the decoder sees, to the label"
        ),
        "latents",
        greater_is_better=True,
        source="Alain & Bengio 2016",
    ),
    Metric(
        "probe_accuracy",
        _("probe accuracy, mu"),
        _("the same from mu, which, standardized, is legible however little it varies"),
        "latents",
        greater_is_better=True,
        source="Alain & Bengio 2016",
    ),
    Metric(
        "train_loss",
        _("training loss"),
        _(
            "what the optimizer minimized, mean over the last epoch's augmented images: nats, of a "
            "flow a squared error"
        ),
        "latents",
        greater_is_better=False,
    ),
    Metric(
        "train_reconstruction_per_dim",
        _("its reconstruction term"),
        _(
            "the reconstruction term of the training loss, mean over pixel-channels: nats, of a "
            "flow its velocity's squared error"
        ),
        "latents",
        greater_is_better=False,
    ),
    Metric(
        "train_kl",
        _("its KL term"),
        _("the KL term of the training loss, summed over dimensions"),
        "latents",
        NATS_PER_IMAGE,
    ),
    Metric(
        "train_mean_image_bce",
        _("BCE of the mean image"),
        _("cross-entropy of the augmented training images if their mean is predicted"),
        "latents",
        NATS_PER_DIM,
    ),
)

COST = (
    Metric(
        "num_params",
        _("parameters"),
        _("numbers in the weights"),
        "cost",
        digits=0,
        greater_is_better=False,
    ),
    Metric(
        "forward_flops",
        _("operations"),
        _(
            "floating-point operations of one image's forward pass, a multiply-add being two; "
            "a training step is about three"
        ),
        "cost",
        FLOPS_PER_IMAGE,
        digits=0,
        greater_is_better=False,
    ),
    Metric(
        "train_seconds",
        _("training time"),
        _("all training steps on the machine that trained it, whatever else ran beside it"),
        "cost",
        SECONDS,
        digits=0,
        greater_is_better=False,
    ),
    Metric(
        "images_per_second",
        _("training speed"),
        _("mean speed of training over the epochs, on that machine"),
        "cost",
        IMAGES_PER_SECOND,
        digits=0,
        greater_is_better=True,
    ),
)
