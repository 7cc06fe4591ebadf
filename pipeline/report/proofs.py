"""What generated images prove of the code: rules on the controls that stand beside them.

A strong decoder draws good images and ignores its code (Bowman et al. 2016; Chen et al. 2017; Alemi
et al. 2018), and no distance of images tells.
"""

import pandas as pd

from pipeline.report.diagnosis import ranged, without_collapse
from pipeline.report.i18n import NOTHING, Message, _, _n
from pipeline.report.tables import CELL

# Fréchet distances that differ by a smaller share are not called nearer or farther.
SAME_DISTANCE = 0.05
# A sample of p(x|z) has twice its mean's squared error (Blau & Michaeli 2018, sec. 3.1).
PSNR_GAP_DB = 3.0
PSNR_GAP_TOLERANCE_DB = 0.3
# An image that is encoded farther from its code, in widths of the posterior, is of another code.
MAX_CODE_CYCLE = 2.0
# A sentence lists as many runs, by variant and latent size.
MAX_LISTED = 4


def proofs(summary: pd.DataFrame) -> list[Message]:
    """Say what the generated images prove and what they do not, by every control that there is."""
    collapsed = over_seeds(summary[summary["collapse_label"] == "collapsed"])
    used = over_seeds(without_collapse(summary))
    flows = used.dropna(subset=["psnr_gap_db"])
    return [
        *distance_proves_nothing(collapsed, used),
        *as_well_without_a_code(flows),
        *drawn_around_their_mean(flows),
        *encoded_again(used),
    ]


def distance_proves_nothing(collapsed: pd.DataFrame, used: pd.DataFrame) -> list[Message]:
    """Name the collapsed run of the best samples, if a run that uses its code has none better."""
    if collapsed.empty:
        return []
    best = collapsed.loc[collapsed["fd_samples"].idxmin()]
    matched = used[used["fd_samples"] * (1 + SAME_DISTANCE) >= best["fd_samples"]]
    if matched.empty:
        return []
    variant, latent_dim = best.name
    return [
        _(
            "**A good distance proves nothing about the code**: **{variant}** at latent size "
            "**{latent_dim}** collapsed ({kl:.2f} nats an image), and the Fréchet distance of its "
            "samples is {distance:.1f}; of runs that use their codes it is no better for "
            "{others}.",
            variant=variant,
            latent_dim=latent_dim,
            kl=best["test_kl"],
            distance=best["fd_samples"],
            others=listed(matched.sort_values("fd_samples"), 1, "fd_samples"),
        )
    ]


def as_well_without_a_code(flows: pd.DataFrame) -> list[Message]:
    """Name the flows whose samples are no nearer than their decoders' images of z = 0.

    Any other decoder makes one image of it, which is far whatever its code does.
    """
    if flows.empty:
        return []
    samples, alone = flows["fd_samples"], flows["fd_null_code"]
    no_nearer = flows[samples >= alone * (1 - SAME_DISTANCE)]
    if no_nearer.empty:
        return [
            _(
                "Without a code, every z being zero, each flow that uses its code draws farther "
                "images: at least {ratio:.2f} times the distance.",
                ratio=(alone / samples).min(),
            )
        ]
    return [
        _n(
            "**The decoder does as well without a code** in {count} run that uses it; Fréchet "
            "distances of samples and of images of z = 0: {runs}.",
            "**The decoder does as well without a code** in {count} runs that use it; Fréchet "
            "distances of samples and of images of z = 0: {runs}.",
            len(no_nearer),
            runs=listed(no_nearer, 1, "fd_samples", "fd_null_code"),
        )
    ]


def drawn_around_their_mean(flows: pd.DataFrame) -> list[Message]:
    """Say whether one sample of each flow is as near to the image as one of p(x|z) is."""
    if flows.empty:
        return []
    gap = flows["psnr_gap_db"]
    below = flows[gap > PSNR_GAP_DB + PSNR_GAP_TOLERANCE_DB]
    above = flows[gap < -PSNR_GAP_TOLERANCE_DB]
    if below.empty and above.empty:
        alike = gap.min() < PSNR_GAP_DB - PSNR_GAP_TOLERANCE_DB
        return [
            _(
                "One sample's PSNR lies {gap} dB below that of the mean of p(x|z), where a draw of "
                "p(x|z) lies 3 dB below{remark}.",
                gap=ranged(gap, 2),
                remark=_(": samples vary too little, or that mean is not the best one")
                if alike
                else NOTHING,
            )
        ]
    messages = []
    if not below.empty:
        messages.append(
            _n(
                "**The code is overridden** in {count} run: one sample's PSNR lies farther below "
                "that of the mean of p(x|z) than the 3 dB that drawing costs, in dB: {runs}.",
                "**The code is overridden** in {count} runs: one sample's PSNR lies farther below "
                "that of the mean of p(x|z) than the 3 dB that drawing costs, in dB: {runs}.",
                len(below),
                runs=listed(below, 2, "psnr_gap_db"),
            )
        )
    if not above.empty:
        messages.append(
            _n(
                "In {count} run one sample's PSNR lies above that of the mean of p(x|z), so that "
                "the two are not of one distribution, in dB: {runs}.",
                "In {count} runs one sample's PSNR lies above that of the mean of p(x|z), so that "
                "the two are not of one distribution, in dB: {runs}.",
                len(above),
                runs=listed(above, 2, "psnr_gap_db"),
            )
        )
    return messages


def encoded_again(used: pd.DataFrame) -> list[Message]:
    """Say whether the image of a code is encoded as that code again."""
    if used.empty:
        return []
    far = used[used["code_cycle"] > MAX_CODE_CYCLE]
    if far.empty:
        return [
            _(
                "Encoded again, the image of a code lies at most {cycle:.2f} widths of the "
                "posterior from it; that of a code that says nothing lies 1 from it.",
                cycle=used["code_cycle"].max(),
            )
        ]
    return [
        _n(
            "**The image of a code is encoded as another** in {count} run, farther from it than "
            "{limit:.0f} widths of the posterior: {runs}. The decoder overrides the code, or what "
            "it shows is no image that the encoder knows.",
            "**The image of a code is encoded as another** in {count} runs, farther from it than "
            "{limit:.0f} widths of the posterior: {runs}. The decoder overrides the code, or what "
            "it shows is no image that the encoder knows.",
            len(far),
            limit=MAX_CODE_CYCLE,
            runs=listed(far, 2, "code_cycle"),
        )
    ]


def over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row of means for each variant and latent size, indexed by both."""
    return runs.groupby(CELL, sort=False).mean(numeric_only=True)


def listed(cells: pd.DataFrame, digits: int, *keys: str) -> Message | str:
    """List variants and latent sizes with these numbers of theirs, at most MAX_LISTED."""
    shown = ", ".join(
        f"{variant} {size} ({' / '.join(f'{row[key]:.{digits}f}' for key in keys)})"
        for (variant, size), row in cells.iloc[:MAX_LISTED].iterrows()
    )
    rest = len(cells) - MAX_LISTED
    if rest <= 0:
        return shown
    return _n("{shown} and {count} other", "{shown} and {count} others", rest, shown=shown)
