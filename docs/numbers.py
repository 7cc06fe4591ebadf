"""Say the published study's numbers in Markdown: a function is one table or sentence of a page.

The pages call these functions in cog blocks, `make docs` writes what they return, and `make lint`
fails where a page is stale. Nothing is measured here: the numbers come from reports/. A sentence
that no longer holds raises StaleClaimError instead of being printed.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from docs.markdown import ROOT, between, claim, listed, number, read_json, table, verdict

REPORTS = ROOT / "reports"
SOURCE_LOGS = ROOT / "pipeline" / "report" / "published.csv"

COLLAPSED, WORKING = "original", "pca_refined"
PRIORS = {"normal": "standard normal", "gmm": "Gaussian mixture", "two_stage": "second-stage VAE"}

# What was aimed at before the measurements, by latent size: PSNR in dB, bits per dimension.
PSNR_AIMS = {64: 22.0, 128: 24.0, 256: 26.5, 512: 30.0}
BITS_AIM = 4.2
# Samples of the best prior: at most this many times the reconstructions' distance, and at least
# this much below that of the standard normal's samples.
SAMPLE_RATIO_AIM, PRIOR_GAIN_AIM = 1.5, 0.10


@cache
def summary(folder: Path = REPORTS) -> pd.DataFrame:
    """Read a study's summary.csv, one row a run."""
    return pd.read_csv(folder / "summary.csv")


@cache
def baselines(folder: Path = REPORTS) -> dict[str, Any]:
    """Read the mean image's, PCA's and the Gaussian's numbers."""
    return read_json(folder / "results" / "baselines.json")


@cache
def params(folder: Path = REPORTS) -> dict[str, Any]:
    """Read the parameters that a published study was run with."""
    return YAML(typ="safe", pure=True).load(folder / "results" / "params.yaml")


def variant(name: str, folder: Path = REPORTS) -> pd.DataFrame:
    """Select one variant's runs."""
    runs = summary(folder)
    return runs[runs["variant"] == name]


def results() -> str:
    """Tabulate the study in short: README's table."""
    head = ("run", "verdict", "active", "KL, nats", "PSNR, dB", "PCA, dB", "bits/dim")
    rows = [
        (
            f"`{run.run}`",
            run.collapse_label,
            number(run.active_units),
            number(run.test_kl, 1),
            number(run.psnr_db, 2),
            number(run.pca_psnr_db, 2),
            number(run.bits_per_dim, 2),
            number(run.fd_reconstruction),
            number(run.fd_samples),
        )
        for run in summary().itertuples()
    ]
    return table((*head, "FD rec.", "FD samples"), rows, text_columns=2)


def headline() -> str:
    """Say what the picture of the study shows."""
    collapsed, working = variant(COLLAPSED), variant(WORKING)
    claim(all(collapsed["is_collapsed"] == 1), f"{COLLAPSED} collapsed at every size")
    claim(all(working["active_fraction"] == 1), f"{WORKING} uses every dimension")
    claim(all(working["psnr_db"] > working["pca_psnr_db"]), f"{WORKING} stays above PCA")
    by_size = working.groupby("latent_dim")["psnr_db"].mean()
    claim(by_size.is_monotonic_increasing, f"every larger {WORKING} reconstructs better")
    gain = by_size.iloc[-1] - by_size.iloc[0]
    return (
        f"The source report's recipe (`{COLLAPSED}`) has collapsed at every latent size: it "
        f"outputs one image, and its training loss is the cost of that image within "
        f"{number(mean_image_gap(), 4)} nats per pixel-channel. Done right (`{WORKING}`), every "
        f"dimension is used and size matters: from {by_size.index[0]} to {by_size.index[-1]} "
        f"dimensions the reconstructions gain {number(gain, 1)} dB and stay above PCA."
    )


def mean_image_gap() -> float:
    """Compute how far the collapsed runs' training loss is from the mean image's, at most."""
    runs = variant(COLLAPSED)
    gap = (runs["train_reconstruction_per_dim"] - runs["train_mean_image_bce"]).abs().max()
    claim(gap < 0.004, f"the training loss of {COLLAPSED} is that of the mean image")
    return gap


def setting() -> str:
    """Say what the study's numbers are of."""
    config, machine = params(), read_json(REPORTS / "results" / "made_with.json")["machine"]
    held_out, used = number(config["data"]["val_size"]), config["data"]["train_size"]
    trained = f"all training images but the {held_out}"
    if used:
        trained = f"{number(used)} training images, {held_out} more"
    tested = config["evaluate"]["num_images"]
    return (
        "`make repro` by [these parameters](../reports/results/params.yaml): "
        f"{config['data']['dataset']}, {trained} held "
        f"out for validation, {trained_for(summary())}, "
        f"seed {listed(config['grid']['seeds'])}, "
        f"{number(tested) if tested else 'all'} test images; on {machine}."
    )


def trained_for(runs: pd.DataFrame) -> str:
    """Say for how many epochs: of each variant, where they differ."""
    epochs = runs.groupby("variant", sort=False)["epochs"].first()
    if epochs.nunique() == 1:
        return f"{epochs.iloc[0]} epochs"
    return listed(f"{count} epochs of `{name}`" for name, count in epochs.items())


def full_results() -> str:
    """Tabulate what README's table leaves out."""
    head = (
        "run",
        "training loss",
        "explained information",
        "PSNR of images, dB",
        "SSIM",
        "pPCA bits/dim",
        "best prior",
        "FD normal",
        "FD mixture",
        "FD two-stage",
        "neighbor distance",
    )
    rows = [
        (
            f"`{run.run}`",
            number(run.train_loss, 4 if abs(run.train_loss) < 100 else 0),
            number(100 * run.explained_information) + " %",
            number(run.psnr_db_per_image, 2),
            number(run.ssim, 3),
            number(run.ppca_bits_per_dim, 2),
            PRIORS[run.best_prior],
            number(run.fd_samples_normal),
            number(run.fd_samples_gmm),
            number(run.fd_samples_two_stage),
            number(run.nn_distance_ratio, 2),
        )
        for run in summary().itertuples()
    ]
    return table(head, rows)


def collapse() -> str:
    """Say how the collapse is known."""
    runs, logs = variant(COLLAPSED), pd.read_csv(SOURCE_LOGS)
    losses = logs.loc[logs["epoch"] == logs["epoch"].max(), "total_loss"]
    level = runs["train_mean_image_bce"].iloc[0]
    return (
        f"The training loss of `{COLLAPSED}` is that of predicting the mean augmented image "
        f"({number(level, 4)} nats per pixel-channel, exact) within {number(mean_image_gap(), 4)}. "
        f"The source report's losses after its last epoch lie between "
        f"{number(losses.min(), 4)} and {number(losses.max(), 4)}."
    )


def sampled_codes() -> str:
    """Say why a collapsed run explains less than nothing of the test images."""
    runs, mean_image = variant(COLLAPSED), baselines()["mean_image_bce"]
    sampled = runs["test_reconstruction_per_dim"]
    claim(all(runs["bce"] > sampled), "decoding mu costs more than decoding sampled codes")
    by_size = runs.groupby("latent_dim")["bce"].mean()
    claim(by_size.is_monotonic_increasing, "decoding mu costs more the larger the code")
    return (
        f"Test images are not augmented: the mean training image costs {number(mean_image, 4)} "
        f"nats per pixel-channel on them, and the augmented mean, being darker, costs more. These "
        f"models give {between(sampled, 3)} for sampled codes. For code = mu, which the tables "
        f"use, they give {between(runs['bce'], 3)}, the more the larger the code: every mu is 0, "
        f"where the decoder, which only ever saw noise of length √z, was never trained. Hence "
        f"less than nothing is explained."
    )


def how_measured() -> str:
    """Say what stands behind bits per dimension and the Fréchet distances."""
    config = params()["evaluate"]
    return (
        f"Bits per dimension are an importance-weighted bound "
        f"({config['num_importance_samples']} codes for each of the first "
        f"{number(config['num_likelihood_images'])} test images) of a discrete 8-bit likelihood; a "
        f"Gaussian with full covariance and no latent vector has "
        f"{number(baselines()['gaussian_bits_per_dim'], 2)}. FD is the Fréchet distance of "
        f"features of {config['feature_extractor']}, {number(config['num_feature_images'])} "
        f"images a side, against the test images; it is not FID, and training images score "
        f"{number(baselines()['fd_train_vs_test'])}."
    )


def working_by_size() -> pd.DataFrame:
    """Average the working variant's runs over the seeds, by latent size."""
    return variant(WORKING).groupby("latent_dim").mean(numeric_only=True)


def aims() -> str:
    """Compare reconstructions and likelihood with what was aimed at."""
    gaussian = baselines()["gaussian_bits_per_dim"]
    bits = (f"below the Gaussian's {number(gaussian, 3)}", f"aim {BITS_AIM}")
    head = ("z", "PSNR: PCA", "reached", "aim", "", "bits/dim: pPCA", "reached", *bits)
    rows = [
        (
            str(size),
            number(row.pca_psnr_db, 2),
            number(row.psnr_db, 2),
            number(PSNR_AIMS[size], 1),
            verdict(row.psnr_db >= PSNR_AIMS[size]),
            number(row.ppca_bits_per_dim, 2),
            number(row.bits_per_dim, 4),
            verdict(row.bits_per_dim < gaussian),
            verdict(row.bits_per_dim <= BITS_AIM),
        )
        for size, row in working_by_size().iterrows()
    ]
    return table(head, rows)


def rivals() -> str:
    """Set what the working variant makes of images beside what needs no network."""
    known = baselines()
    rows = [
        (
            str(size),
            number(row.fd_reconstruction),
            number(known["fd_pca"][str(size)]),
            number(known["fd_blurred_train"][str(size)]),
            number(row.fd_samples),
            number(known["fd_gaussian"]),
            number(known["fd_train_vs_test"]),
        )
        for size, row in working_by_size().iterrows()
    ]
    head = ("z", "FD rec.", "PCA's", "blurred training images'", "FD samples")
    return table((*head, "the Gaussian's", "training images'"), rows)


def sample_aims() -> str:
    """Compare samples with what was aimed at."""
    rows = []
    for size, row in working_by_size().iterrows():
        ratio = row.fd_samples / row.fd_reconstruction
        gain = 1 - row.fd_samples / row.fd_samples_normal
        rows.append(
            (
                str(size),
                number(row.fd_reconstruction),
                number(row.fd_samples_normal),
                number(row.fd_samples),
                number(ratio, 2),
                verdict(ratio <= SAMPLE_RATIO_AIM),
                number(100 * gain, 1) + " %",
                verdict(gain >= PRIOR_GAIN_AIM),
            )
        )
    head = ("z", "FD rec.", "normal", "best prior", f"ratio, aim {SAMPLE_RATIO_AIM}", "")
    return table((*head, f"below normal, aim {PRIOR_GAIN_AIM:.0%}", ""), rows)
