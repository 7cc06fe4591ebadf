"""The metrics that stand beside generated images: does the decoder follow its code?"""

from pipeline.report.i18n import _
from pipeline.report.metric import DB, Metric

CONTROLS = (
    Metric(
        "fd_null_code",
        _("Fréchet distance without a code"),
        _(
            "Fréchet distance of the decoder's images of z = 0 against test images: what it draws "
            "by itself; one image where it always draws the same"
        ),
        "controls",
        digits=1,
    ),
    Metric(
        "code_cycle",
        _("code cycle"),
        _(
            "an image is made of z ~ q(z|x) and encoded again: root mean square of (mu − z) / "
            "sigma, over dimensions and test images; well above 1 the decoder overrides the code; "
            "1 of a code that says nothing"
        ),
        "controls",
        digits=2,
    ),
    Metric(
        "psnr_db_of_mean",
        _("PSNR of the mean"),
        _("PSNR of the mean of p(x|z), z = mu, where the decoder draws samples of it"),
        "controls",
        DB,
        digits=2,
        greater_is_better=True,
    ),
    Metric(
        "psnr_gap_db",
        _("PSNR lost by drawing"),
        _(
            "PSNR of the mean of p(x|z) − PSNR of one sample: 3 dB where samples are those of "
            "p(x|z), less where they vary too little, more where they override the code"
        ),
        "controls",
        DB,
        digits=2,
        source="Blau & Michaeli 2018, sec. 3.1",
    ),
)
