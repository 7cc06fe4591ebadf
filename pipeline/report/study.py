"""Read every listed run's files into one Study; nothing is globbed, so what params.yaml dropped is not seen."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.metrics.sets import PRIORS
from pipeline.params import Params
from pipeline.paths import Paths
from pipeline.pictures import tiles
from pipeline.reading import read_csv, read_json

PUBLISHED = Path(__file__).parent / "published.csv"

MEASURES = {
    "fd": "Fréchet distance (not FID unless the extractor is Inception)",
    "kd": "kernel distance (squared MMD)",
    "precision": "precision: share of images inside the test images' manifold",
    "recall": "recall: share of test images inside the images' manifold",
    "density": "density: how often images fall into the test images' neighbourhoods",
    "coverage": "coverage: share of test images with an image in their neighbourhood",
}
OF = {
    "reconstruction": "reconstructions",
    "normal": "samples with z ~ N(0, I)",
    "gmm": "samples with z from a mixture of 10 full-covariance Gaussians",
    "second_stage": "samples with z from a second-stage VAE",
}

# Columns of summary.csv, in order: one row a run. The key, its unit, and its definition with the reduction.
COLUMNS: dict[str, tuple[str, str]] = {
    "variant": ("", "recipe, as named in params.yaml"),
    "latent_dim": ("", "size of the latent vector"),
    "seed": ("", "seed of initial weights, data order, augmentation and noise"),
    "epochs": ("", "epochs trained"),
    "collapse": ("", "collapsed, partly collapsed or healthy; see the method"),
    "active_units": ("dimensions", "dimensions with Var[mu] over the test images above `evaluate.active_threshold`"),
    "kl": ("nats/image", "KL(q(z|x) ‖ N(0, I)), summed over dimensions, mean over test images"),
    "shuffle_gain": ("", "1 − MSE with own code / MSE with another image's code; 0: the decoder ignores z"),
    "train_total_loss": ("nats", "what the optimiser minimised, mean over the last epoch's augmented images"),
    "train_reconstruction_per_dim": ("nats/dim", "its reconstruction term, mean over pixel-channels"),
    "train_kl": ("nats/image", "its KL term, summed over dimensions"),
    "train_mean_image_bce": ("nats/dim", "cross-entropy of the augmented training images if their mean is predicted"),
    "test_negative_elbo": ("nats/image", "reconstruction summed over pixel-channels + KL, one posterior sample"),
    "bce": ("nats/dim", "binary cross-entropy of test images given the decoded mu, mean over pixel-channels"),
    "explained_information": ("", "(mean-image BCE − BCE) / (mean-image BCE − floor), test images, code = mu"),
    "psnr_db": ("dB", "PSNR of the mean MSE over test images on [0, 1], code = mu"),
    "psnr_db_mean_of_images": ("dB", "mean of each test image's PSNR, code = mu"),
    "pca_psnr_db": ("dB", "PSNR of the mean MSE of PCA with as many components, same test images"),
    "ssim": ("", "structural similarity, Gaussian window of 11 pixels, mean over test images, code = mu"),
    "bits_per_dim": (
        "bits/dim",
        "− importance-weighted bound of log P of 8-bit pixels / pixel-channels; its images and codes: see the method",
    ),
    "pca_bits_per_dim": ("bits/dim", "− log likelihood of probabilistic PCA of that size, isotropic noise"),
    "mutual_information": ("nats", "estimate of I(x; z) from 2,000 test images, at most their logarithm, 7.6"),
    "probe_accuracy": ("", "test accuracy of a logistic regression from mu to the label"),
    **{
        f"{measure}_{of}": ("", f"{what}, {OF[of]} against test images; features and N: see the method")
        for measure, what in MEASURES.items()
        for of in OF
    },
    "neighbour_distance_ratio": ("", "median distance of samples to the nearest training image / that of test images"),
}


RUN = ["variant", "latent_dim", "seed"]
# The report's tables; every column is in one of them.
TABLES = {
    "Is the code used?": [
        *("epochs", "collapse", "active_units", "kl", "shuffle_gain", "mutual_information", "probe_accuracy"),
        *("train_total_loss", "train_reconstruction_per_dim", "train_kl", "train_mean_image_bce"),
    ],
    "How good are reconstructions and likelihood?": [
        *("psnr_db", "pca_psnr_db", "psnr_db_mean_of_images", "ssim", "bce", "explained_information"),
        *("bits_per_dim", "pca_bits_per_dim", "test_negative_elbo"),
    ],
    "How good are sets of images?": [
        *(f"{measure}_{of}" for measure in ("fd", "kd") for of in OF),
        "neighbour_distance_ratio",
    ],
    "Precision, recall, density, coverage": [
        f"{measure}_{of}" for measure in ("precision", "recall", "density", "coverage") for of in OF
    ],
}


class Study(NamedTuple):
    """Everything the report shows, in the order of params.yaml."""

    summary: pd.DataFrame
    history: pd.DataFrame
    dimensions: dict[str, np.ndarray]
    baselines: dict[str, Any]
    published: pd.DataFrame
    pictures: dict[str, dict[str, np.ndarray]]


def read(params: Params, paths: Paths) -> Study:
    """StudyError names the first file that is missing or damaged."""
    rows, histories, dimensions, pictures = [], [], {}, {}
    for run in params.runs:
        cell = {"run": run.name, "variant": run.variant, "latent_dim": run.latent_dim, "seed": run.seed}
        rows.append(cell | read_json(paths.metrics(run.name)))
        histories.append(read_csv(paths.model(run.name) / "history.csv").assign(**cell))
        dimensions[run.name] = read_csv(paths.dimensions(run.name))["kl"].to_numpy()
        pictures[run.name] = {
            kind: tiles(paths.samples(run.name) / f"{kind}.png")
            for kind in ("originals", "reconstructions", "interpolations", *(f"samples_{prior}" for prior in PRIORS))
        }
        pictures[run.name]["neighbours"] = tiles(paths.neighbours(run.name))
    return Study(
        pd.DataFrame(rows).set_index("run", drop=False),
        pd.concat(histories, ignore_index=True),
        dimensions,
        read_json(paths.baselines / "baselines.json"),
        read_csv(PUBLISHED),
        pictures,
    )
