"""What the explorer says, by the names that its template and its script ask for.

Values that only the script knows stay in their braces: each is passed as itself.
"""

from pipeline.report.diagnosis import LABELS
from pipeline.report.i18n import NOTHING, Message, _


def _blanks(*names: str) -> dict[str, str]:
    """Leave `{name}` to the script."""
    return {name: f"{{{name}}}" for name in names}


TEXTS: dict[str, Message] = {
    "title": _("Touch the code"),
    "lead": _(
        "Two trained decoders run in this page, and one hand moves the codes of both. A decoder "
        "that uses its code follows the hand; one that has collapsed hardly stirs."
    ),
    "report": _("to the report"),
    "no_script": _("This page computes images before your eyes, for which it needs JavaScript."),
    # What one starts from.
    "start": _("Start from"),
    "image": _("test image {image}", **_blanks("image")),
    "original": _("original"),
    "no_original": _("A draw has no original."),
    "shuffle": _("Shuffle the code"),
    "own_code": _("Its own code"),
    "draw": _("Draw from"),
    "prior_normal": _("N(0, I)"),
    "prior_gmm": _("Gaussian mixture"),
    "prior_two_stage": _("second-stage VAE"),
    "path": _("Path"),
    "path_end": _("another end of the path"),
    # Where one moves.
    "move": _("Then move along the leading directions"),
    "reset": _("All to zero"),
    "direction": _("Direction {direction}", **_blanks("direction")),
    "position": _("{position} standard deviations", **_blanks("position")),
    "ends": _(
        "On either side: the share of the test images' variance that the direction explains "
        "there, and its KL in nats."
    ),
    "active": _("KL {kl}, active", **_blanks("kl")),
    "inactive": _("KL {kl}, inactive", **_blanks("kl")),
    # What each side shows.
    "left": _("left run"),
    "right": _("right run"),
    "moved": _("moved by {moved} of 255", **_blanks("moved")),
    "code_of": _("with the code of test image {other}", **_blanks("other")),
    "share_of_path": _("{share} of the way to test image {other}", **_blanks("share", "other")),
    "drawn": _("draw {draw} from {prior}", **_blanks("draw", "prior")),
    "misses": _("squared error {own} with its own code", **_blanks("own")),
    "misses_more": _(
        "squared error {own} with its own code, {other} with the other's: gain {gain}",
        **_blanks("own", "other", "gain"),
    ),
    "alt": _("{run}: {what}, moved by {moved} of 255", **_blanks("run", "what", "moved")),
    "status": _("Left moved by {left}, right by {right} of 255.", **_blanks("left", "right")),
    "sweep": _(
        "{run}: nine images of what you moved last, from end to end; they differ by up to {moved} "
        "of 255",
        **_blanks("run", "moved"),
    ),
    "units": _("{active} of {size} dimensions active", **_blanks("active", "size")),
    "kl": _("KL, nats"),
    "psnr": _("PSNR, dB"),
    "gain": _("shuffle gain"),
    "dimensions": _("KL of each of {size} dimensions, sorted", **_blanks("size")),
    # What is behind it.
    "about": _("What is shown"),
    "about_directions": _(
        "The directions are principal axes of the codes of test images, weighed by how far the "
        "decoder moves along them. One step is a standard deviation of mu over these images: a "
        "code that says nothing of them stands still. The codes' own variance would not order "
        "the directions: where codes fit their prior it is the same in all of them."
    ),
    "about_moved": _(
        "“Moved” is the mean absolute difference of the pixels: of a slider from its zero, of "
        "a choice or a draw from the image before. The strips show what you moved last, from end "
        "to end."
    ),
    "about_shuffle": _(
        "“Shuffle the code” decodes the code of another image, as the study's detector of "
        "collapse does: a decoder that uses its code then misses the original by far more."
    ),
    "about_weights": _(
        "Weights are kept in 8 bits, and in 16 where 8 would be seen: no pixel is farther than "
        "2/255 from what PyTorch makes of the same code."
    ),
    **{f"label_{label}": message for label, message in LABELS.items()},
}


def left_out(too_large: list[str], flows: list[str], budget: int) -> dict[str, Message]:
    """Say which runs the page has not, and why; nothing where it has all."""
    size = _(
        "Left out to keep this file under {megabytes:.0f} MB: {runs}.",
        megabytes=budget / 1e6,
        runs=", ".join(too_large),
    )
    passes = _(
        "Left out because their decoders are flows, which take too many passes for a page: {runs}.",
        runs=", ".join(flows),
    )
    return {
        "too_large": size if too_large else NOTHING,
        "flows": passes if flows else NOTHING,
    }


def nothing_to_show() -> Message:
    """Say that no run is left."""
    return _("No run of this study has a decoder that this page can compute.")
