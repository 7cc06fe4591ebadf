"""What a VAE must beat: the mean image, PCA, a Gaussian without latents, images merely blurred.

Their rows stand below the runs' in the tables, and rules say who wins.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.evaluation.reconstruction import psnr
from pipeline.report.diagnosis import without_collapse
from pipeline.report.i18n import Message, _
from pipeline.report.image_sets import IMAGE_SETS, OF_FEATURES

MEAN_IMAGE = _("mean image")
GAUSSIAN = _("Gaussian without latents")
PCA = _("PCA")
BLURRED = _("blurred training images")
TRAINING_IMAGES = _("training images")
# Bits that a pixel-channel costs whoever knows nothing of images.
GUESSING = 8.0
# The rivals that are sets of images: key in baselines.json, name, and of which sets of a run's.
RIVAL_SETS = (
    ("pca", PCA, ("reconstruction",)),
    ("blurred_train", BLURRED, ("reconstruction",)),
    ("gaussian", GAUSSIAN, ("samples_normal", "samples")),
)
FLOOR = ("train_vs_test", TRAINING_IMAGES, (*IMAGE_SETS, "samples"))


def rival_rows(baselines: dict[str, Any], sizes: list[int]) -> pd.DataFrame:
    """Return a row for each rival, of each latent size where it has one, under the runs' keys."""
    rows: list[dict[str, Any]] = [
        {
            "variant": MEAN_IMAGE,
            "psnr_db": pca_psnr(baselines, 0),
            "bce": baselines["mean_image_bce"],
            "explained_information": 0.0,
        },
        {"variant": GAUSSIAN, "bits_per_dim": baselines["gaussian_bits_per_dim"]},
    ]
    for key, name, image_sets in (*RIVAL_SETS, FLOOR):
        found = {m: dict(rival_values(baselines, f"{m}_{key}", sizes)) for m in OF_FEATURES}
        for size in found["fd"]:
            scores = {f"{m}_{i}": values[size] for m, values in found.items() for i in image_sets}
            rows.append({"variant": name, "latent_dim": size} | scores)
    return pd.DataFrame(rows)


def pca_psnr(baselines: dict[str, Any], size: int) -> float:
    """Return PCA's PSNR, dB; of size 0 the mean image's, beyond an image's pixels that of all."""
    errors = baselines["pca_mse"]
    return psnr(max(errors[min(size, len(errors) - 1)], 1e-12))


def ppca_bits(baselines: dict[str, Any], size: int) -> float:
    """Return probabilistic PCA's bits/dim; of more dimensions than it can have, of the most."""
    bits = baselines["ppca_bits_per_dim"]
    return bits[min(size, len(bits) - 1)]


def rival_values(
    baselines: dict[str, Any], key: str, sizes: list[int]
) -> Iterator[tuple[int | None, float]]:
    """Yield a rival's values by latent size, or its one value with no size."""
    value = baselines[key]
    if isinstance(value, dict):
        yield from ((size, value[str(size)]) for size in sorted(sizes))
    else:
        yield None, value


def likelihood_against_gaussian(summary: pd.DataFrame, baselines: dict[str, Any]) -> list[Message]:
    """Say which runs' likelihood beats that of a Gaussian with full covariance, if any does."""
    level = baselines["gaussian_bits_per_dim"]
    scored = without_collapse(summary).dropna(subset=["bits_per_dim"])
    if scored.empty:
        return []
    if level > GUESSING:
        return [
            _(
                "A Gaussian without latents needs {gaussian:.1f} bits/dim here, more than the 8 of "
                "guessing: it is fitted to too few images, and to beat it says nothing of the "
                "runs.",
                gaussian=level,
            )
        ]
    cells = scored.groupby(["variant", "latent_dim"], sort=False)["bits_per_dim"]
    bits = (cells.mean() + 2 * cells.std().fillna(0.0)).sort_values()
    means = cells.mean()
    best = means.idxmin()
    values = {
        "gaussian": level,
        "variant": best[0],
        "latent_dim": best[1],
        "best": means[best],
        "difference": abs(means[best] - level),
    }
    winners = bits[bits < level].index
    if winners.empty:
        return [
            _(
                "No run's likelihood reaches that of a Gaussian without latents "
                "({gaussian:.4f} bits/dim): the best, **{variant}** at latent size "
                "**{latent_dim}**, needs {best:.4f}, {difference:.4f} more.",
                **values,
            )
        ]
    if len(winners) == len(bits):
        return [
            _(
                "Every likelihood of a run that uses its code beats that of a Gaussian without "
                "latents "
                "({gaussian:.4f} bits/dim); the best, **{variant}** at latent size "
                "**{latent_dim}**, needs {best:.4f}, {difference:.4f} less.",
                **values,
            )
        ]
    return [
        _(
            "Some runs' likelihood beats that of a Gaussian without latents ({gaussian:.4f} "
            "bits/dim): {winners}. The best, **{variant}** at latent size **{latent_dim}**, needs "
            "{best:.4f}, {difference:.4f} less; {losers} need more.",
            winners=named(winners),
            losers=named(bits[bits >= level].index),
            **values,
        )
    ]


def named(cells: Any) -> str:
    """List variants with their latent sizes."""
    return ", ".join(f"{variant} {size}" for variant, size in cells)


def against_pca(summary: pd.DataFrame, key: str, rival: str) -> tuple[list[Any], int]:
    """Return the variants and sizes whose `key`, smaller being better, beats PCA's, of how many."""
    scored = without_collapse(summary).dropna(subset=[key, rival])
    means = scored.groupby(["variant", "latent_dim"], sort=False)[[key, rival]].mean()
    return list(means.index[means[key] < means[rival]]), len(means)


def likelihood_against_ppca(summary: pd.DataFrame) -> list[Message]:
    """Say which runs' likelihood beats that of probabilistic PCA with as many components."""
    winners, total = against_pca(summary, "bits_per_dim", "ppca_bits_per_dim")
    if not total:
        return []
    if not winners:
        return [_("None of them beats probabilistic PCA of its size.")]
    if len(winners) == total:
        return [_("All that have a likelihood beat probabilistic PCA of their size.")]
    return [
        _("Probabilistic PCA of their size is beaten by {winners} only.", winners=named(winners))
    ]


def reconstructions_against_pca(summary: pd.DataFrame, baselines: dict[str, Any]) -> list[Message]:
    """Say whose reconstructions are nearer to test images than PCA's of their size, by features."""
    sizes = [int(size) for size in summary["latent_dim"].unique()]
    distances = dict(rival_values(baselines, "fd_pca", sizes))
    pca = summary["latent_dim"].map(distances)
    winners, total = against_pca(summary.assign(fd_pca=pca), "fd_reconstruction", "fd_pca")
    if not total:
        return []
    if not winners:
        return [_("By features no run's reconstructions are nearer to the images than PCA's.")]
    if len(winners) == total:
        return [
            _(
                "By features the reconstructions of every run that uses its code are nearer to the "
                "images than PCA's."
            )
        ]
    return [
        _(
            "By features the reconstructions of {winners} only are nearer to the images than "
            "PCA's.",
            winners=named(winners),
        )
    ]
