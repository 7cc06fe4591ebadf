"""The metrics of one run's reconstructions and of its likelihood."""

from pipeline.report.i18n import _
from pipeline.report.metric import BITS_PER_DIM, DB, NATS_PER_DIM, NATS_PER_IMAGE, Metric

QUALITY = (
    Metric(
        "psnr_db",
        _("PSNR"),
        _(
            "PSNR of the mean MSE over test images on [0, 1], code = mu; of a flow, of one sample "
            "with fixed noise"
        ),
        "quality",
        DB,
        digits=2,
        greater_is_better=True,
    ),
    Metric(
        "pca_psnr_db",
        _("PSNR of PCA"),
        _("PSNR of the mean MSE of PCA with as many components, same test images"),
        "quality",
        DB,
        digits=2,
    ),
    Metric(
        "psnr_db_per_image",
        _("mean PSNR of an image"),
        _("mean of each test image's PSNR, code = mu"),
        "quality",
        DB,
        digits=2,
        greater_is_better=True,
    ),
    Metric(
        "ssim",
        _("SSIM"),
        _("structural similarity, Gaussian window of 11 pixels, mean over test images, code = mu"),
        "quality",
        greater_is_better=True,
        source="Wang et al. 2004",
    ),
    Metric(
        "bce",
        _("BCE"),
        _("binary cross-entropy of test images given the decoded mu, mean over pixel-channels"),
        "quality",
        NATS_PER_DIM,
        greater_is_better=False,
    ),
    Metric(
        "explained_information",
        _("explained information"),
        _(
            "(mean image's BCE − BCE) / (mean image's BCE − that of a perfect reconstruction), "
            "test images, code = mu"
        ),
        "quality",
        greater_is_better=True,
    ),
    Metric(
        "bits_per_dim",
        _("likelihood"),
        _(
            "− importance-weighted bound of log P of 8-bit pixels / pixel-channels; "
            "its images and codes: see the method"
        ),
        "quality",
        BITS_PER_DIM,
        greater_is_better=False,
        source="Burda et al. 2016, eq. 8",
    ),
    Metric(
        "ppca_bits_per_dim",
        _("likelihood of PPCA"),
        _("− log likelihood of probabilistic PCA of that size, isotropic noise"),
        "quality",
        BITS_PER_DIM,
        source="Tipping & Bishop 1999",
    ),
    Metric(
        "test_negative_elbo",
        _("negative ELBO"),
        _("reconstruction summed over pixel-channels + KL, one posterior sample"),
        "quality",
        NATS_PER_IMAGE,
        digits=1,
        greater_is_better=False,
        source="Kingma & Welling 2014, eq. 3",
    ),
)
