"""All figures of one run, gathered under the keys that JSON, MLflow and the report share."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline import StudyError
from pipeline.data import batches
from pipeline.metrics import collapse, distortion
from pipeline.model.vae import VAE
from pipeline.objective import kl_standard_normal
from pipeline.params import Evaluate, Run
from pipeline.reading import read_json
from pipeline.training import VALIDATION_BATCH, validate


class Baselines(NamedTuple):
    """baselines.json, and the mean training image and mean entropy map [C, H, W]."""

    figures: dict[str, Any]
    mean: Tensor
    entropy: Tensor


class Evaluation(NamedTuple):
    """Headline metrics, and a row for each latent dimension."""

    metrics: dict[str, Any]
    dimensions: pd.DataFrame


class Codes(NamedTuple):
    """Of every image: mu and the KL of each dimension [N, latent_dim], and errors [N] of its mu decoded."""

    mu: Tensor
    kl: Tensor
    mse: Tensor
    bce: Tensor


def read_baselines(folder: Path) -> Baselines:
    """What the baselines stage wrote; StudyError if it is missing or damaged."""
    figures = read_json(folder / "baselines.json")
    try:
        maps = load_file(folder / "mean.safetensors")
        return Baselines(figures, maps["mean"], maps["entropy"])
    except (OSError, KeyError, SafetensorError) as error:
        raise StudyError(f"{folder} holds no usable baselines: {error}; run `dvc repro baselines`") from None


def evaluate(
    run: Run, model: VAE, test_images: Tensor, baselines: Baselines, history: pd.DataFrame, chosen: Evaluate
) -> Evaluation:
    """Measure a model on uint8 test images [N, C, H, W]; see the report for each key's definition."""
    codes = encode_all(model, test_images)
    metrics: dict[str, Any] = {"test_images": len(test_images)}
    metrics |= validate(model, test_images, run.recipe.objective, chosen.seed, "test")
    metrics |= reconstruction_figures(codes, run.latent_dim, baselines)
    metrics |= training_figures(run, baselines, history)
    metrics |= collapse_figures(codes, shuffled_mse(model, test_images, codes.mu, chosen.seed), chosen)
    variances = codes.mu.double().var(0, unbiased=False).numpy()
    columns = {"dimension": range(run.latent_dim), "kl": codes.kl.double().mean(0).numpy(), "mu_variance": variances}
    return Evaluation(metrics, pd.DataFrame(columns))


def reconstruction_figures(codes: Codes, latent_dim: int, baselines: Baselines) -> dict[str, Any]:
    """How well mu is decoded, beside PCA of the same size, the mean image and the floor."""
    figures = baselines.figures
    mean_image_bce, bce_floor = figures["mean_image_bce"], figures["bce_floor"]
    mse, bce = float(codes.mse.double().mean()), float(codes.bce.double().mean())
    pca_mse = figures["pca_mse"][min(latent_dim, len(figures["pca_mse"]) - 1)]
    return {
        "mse": mse,
        "psnr_db": distortion.psnr(mse),
        "psnr_db_mean_of_images": float(-10 * codes.mse.double().clamp(min=1e-12).log10().mean()),
        "pca_psnr_db": distortion.psnr(max(pca_mse, 1e-12)),
        "bce": bce,
        "mean_image_bce": mean_image_bce,
        "bce_floor": bce_floor,
        "explained_information": distortion.explained_information(bce, mean_image_bce, bce_floor),
    }


def collapse_figures(codes: Codes, shuffled: float, chosen: Evaluate) -> dict[str, Any]:
    """The verdict and what it rests on; `shuffled` is the MSE with another image's code."""
    kl = float(codes.kl.double().sum(1).mean())
    verdict = collapse.diagnose(codes.mu, chosen.active_threshold, float(codes.mse.double().mean()), shuffled, kl)
    return {
        "kl": kl,
        "active_units": verdict.active_units,
        "active_share": verdict.active_share,
        "shuffle_gain": verdict.shuffle_gain,
        "collapsed": int(verdict.verdict == "collapsed"),
        "collapse": verdict.verdict,
        "collapse_reason": verdict.reason,
    }


def encode_all(model: VAE, images: Tensor) -> Codes:
    """Encode every image and decode its mu."""
    parts = []
    for part in images.split(VALIDATION_BATCH):
        x = batches.scaled(part)
        mu, logvar = model.encode(x)
        predicted = model.pixel_means(model.decode(mu))
        errors = distortion.squared_error(predicted, x), distortion.cross_entropy(predicted, x)
        parts.append((mu, kl_standard_normal(mu, logvar), *errors))
    return Codes(*(torch.cat(values) for values in zip(*parts, strict=True)))


def shuffled_mse(model: VAE, images: Tensor, mu: Tensor, seed: int) -> float:
    """Mean squared error when every image is decoded from another image's code."""
    order = collapse.permutation(len(mu), torch.Generator().manual_seed(seed))
    total = 0.0
    for part, codes in zip(images.split(VALIDATION_BATCH), mu[order].split(VALIDATION_BATCH), strict=True):
        predicted = model.pixel_means(model.decode(codes))
        total += float(distortion.squared_error(predicted, batches.scaled(part)).double().sum())
    return total / len(images)


def training_figures(run: Run, baselines: Baselines, history: pd.DataFrame) -> dict[str, Any]:
    """The last epoch's training terms, and what predicting the augmented mean image would cost in their place.

    The best constant prediction costs the binary entropy of the mean augmented image; the least possible is
    the mean entropy of the augmented images. Both are exact. They are on the scale of the training loss for
    the Bernoulli likelihood only.
    """
    last = history.iloc[-1]
    keys = [key for key in history.columns if key.startswith("train_")]
    figures: dict[str, Any] = {"epochs": int(last["epoch"])} | {key: float(last[key]) for key in keys}
    augment = run.recipe.train.augment
    expected = {
        name: batches.expected_under_augmentation(image, augment.flip, augment.crop_padding)
        for name, image in (("mean", baselines.mean), ("entropy", baselines.entropy))
    }
    figures["train_mean_image_bce"] = float(distortion.entropy(expected["mean"]).mean())
    figures["train_bce_floor"] = float(expected["entropy"].mean())
    if run.recipe.objective.likelihood == "bernoulli":
        figures["train_explained_information"] = distortion.explained_information(
            figures["train_reconstruction_per_dim"], figures["train_mean_image_bce"], figures["train_bce_floor"]
        )
    return figures
