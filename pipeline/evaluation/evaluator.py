"""All figures of one run, gathered under the keys that JSON, MLflow and the report share."""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.data import loader
from pipeline.evaluation import collapse, reconstruction
from pipeline.evaluation.latents import linear_probe, mutual_information
from pipeline.evaluation.features import FeatureExtractor, features_precision
from pipeline.evaluation.likelihood import bits_per_dim, iwae_bound
from pipeline.evaluation.references import Baselines
from pipeline.evaluation.samples import NearestNeighbors, sample_metrics
from pipeline.models.vae import VAE
from pipeline.training.losses import kl_standard_normal
from pipeline.config.schema import EvalConfig, RunConfig
from pipeline.data.images import to_uint8
from pipeline.training.device import resolve_precision
from pipeline.training.trainer import EVAL_BATCH_SIZE, validate

INFORMATION_IMAGES = 2_000


class EvalInputs(NamedTuple):
    """A trained run and the images, uint8 [N, C, H, W], that it is measured on; `drawn` has a set for each prior."""

    run: RunConfig
    model: VAE
    history: pd.DataFrame
    test_images: Tensor
    test_labels: np.ndarray
    train_images: Tensor
    train_labels: np.ndarray
    drawn: dict[str, Tensor]


class EvalResult(NamedTuple):
    """Headline metrics, a row for each latent dimension, the best prior and its samples' nearest training images."""

    metrics: dict[str, Any]
    dimensions: pd.DataFrame
    best_prior: str
    neighbors: NearestNeighbors


class Encodings(NamedTuple):
    """Of every image: mu, logvar and KL [N, latent_dim]; its mu decoded, uint8 [N, C, H, W]; errors and SSIM [N]."""

    mu: Tensor
    logvar: Tensor
    kl: Tensor
    decoded: Tensor
    mse: Tensor
    bce: Tensor
    ssim: Tensor


def evaluate(subject: EvalInputs, baselines: Baselines, extract: FeatureExtractor, chosen: EvalConfig) -> EvalResult:
    """Measure a model; see the report for each key's definition."""
    run, model, test_images = subject.run, subject.model, subject.test_images
    codes = encode_all(model, test_images)
    metrics: dict[str, Any] = {"test_images": len(test_images), "extractor": chosen.extractor}
    metrics["extractor_precision"] = features_precision(chosen.extractor)
    metrics |= validate(model, test_images, run.recipe.objective, chosen.seed, "test")
    metrics |= reconstruction_metrics(codes, run.latent_dim, baselines)
    metrics |= training_metrics(run, baselines, subject.history) | cost_metrics(model)
    metrics |= collapse_metrics(codes, shuffled_mse(model, test_images, codes.mu, chosen.seed), chosen)
    metrics |= likelihood_metrics(run, model, test_images, chosen)
    metrics |= latent_metrics(subject, codes, chosen)
    compared, best, neighbors = sample_metrics(codes.decoded, subject.drawn, baselines.features, extract, chosen)
    variances = codes.mu.double().var(0, unbiased=False).numpy()
    columns = {"dimension": range(run.latent_dim), "kl": codes.kl.double().mean(0).numpy(), "mu_variance": variances}
    return EvalResult(metrics | compared, pd.DataFrame(columns), best, neighbors)


def cost_metrics(model: VAE) -> dict[str, int]:
    """Numbers in the weights, and floating-point operations of one image's forward pass (a multiply-add is two)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *model.image_shape), torch.zeros(1, model.latent_dim))
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "forward_flops": counter.get_total_flops()}


def likelihood_metrics(run: RunConfig, model: VAE, test_images: Tensor, chosen: EvalConfig) -> dict[str, Any]:
    """The importance-weighted bound on the first test images; a Bernoulli's is none of 8-bit images.

    What refines a linear path decodes twice as fast in bf16; transposed convolutions gain nothing.
    """
    if model.likelihood != "gaussian":
        return {}
    images = test_images[: chosen.likelihood_images]
    precision = resolve_precision(run.recipe.train.precision, images.device) if model.linear_path else "fp32"
    generator = torch.Generator().manual_seed(chosen.seed)
    bound = iwae_bound(model, images, chosen.likelihood_samples, generator, precision)
    return {
        "bits_per_dim": bits_per_dim(bound, images[0].numel()),
        "likelihood_images": len(images),
        "likelihood_samples": chosen.likelihood_samples,
        "likelihood_precision": precision,
    }


def latent_metrics(subject: EvalInputs, codes: Encodings, chosen: EvalConfig) -> dict[str, Any]:
    """Mutual information of images and codes, and how well a linear probe reads the labels from mu."""
    generator = torch.Generator().manual_seed(chosen.seed)
    some = slice(INFORMATION_IMAGES)
    parts = subject.train_images[: chosen.probe_images].split(EVAL_BATCH_SIZE)
    train = torch.cat([subject.model.encode(loader.to_float(part))[0] for part in parts]).numpy()
    labels = subject.train_labels[: len(train)]
    return {
        "mutual_information": mutual_information(codes.mu[some], codes.logvar[some], generator),
        "mutual_information_bound": math.log(len(codes.mu[some])),
        "probe_accuracy": linear_probe((train, labels), (codes.mu.numpy(), subject.test_labels)),
    }


def reconstruction_metrics(codes: Encodings, latent_dim: int, baselines: Baselines) -> dict[str, Any]:
    """How well mu is decoded, beside PCA of the same size, the mean image and the floor."""
    figures = baselines.figures
    mean_image_bce, bce_floor = figures["mean_image_bce"], figures["bce_floor"]
    mse, bce = float(codes.mse.double().mean()), float(codes.bce.double().mean())
    pca_mse = figures["pca_mse"][min(latent_dim, len(figures["pca_mse"]) - 1)]
    return {
        "mse": mse,
        "psnr_db": reconstruction.psnr(mse),
        "psnr_db_mean_of_images": float(-10 * codes.mse.double().clamp(min=1e-12).log10().mean()),
        "ssim": float(codes.ssim.double().mean()),
        "pca_psnr_db": reconstruction.psnr(max(pca_mse, 1e-12)),
        "pca_bits_per_dim": figures["ppca_bits_per_dim"][min(latent_dim, len(figures["ppca_bits_per_dim"]) - 1)],
        "bce": bce,
        "mean_image_bce": mean_image_bce,
        "bce_floor": bce_floor,
        "explained_information": reconstruction.explained_information(bce, mean_image_bce, bce_floor),
    }


def collapse_metrics(codes: Encodings, iter_batches: float, chosen: EvalConfig) -> dict[str, Any]:
    """The verdict and what it rests on; `shuffled` is the MSE with another image's code."""
    kl = float(codes.kl.double().sum(1).mean())
    verdict = collapse.diagnose_collapse(codes.mu, chosen.active_threshold, float(codes.mse.double().mean()), iter_batches, kl)
    return {
        "kl": kl,
        "active_units": verdict.active_units,
        "active_share": verdict.active_share,
        "shuffle_gain": verdict.shuffle_gain,
        "collapsed": int(verdict.verdict == "collapsed"),
        "collapse": verdict.verdict,
        "collapse_reason": verdict.reason,
    }


def encode_all(model: VAE, images: Tensor) -> Encodings:
    """Encode every image and decode its mu."""
    parts = []
    for part in images.split(EVAL_BATCH_SIZE):
        x = loader.to_float(part)
        mu, logvar = model.encode(x)
        predicted = model.to_pixels(model.decode(mu))
        errors = reconstruction.mse_per_image(predicted, x), reconstruction.bce_per_image(predicted, x)
        shown = torch.from_numpy(to_uint8(predicted.numpy()))
        parts.append((mu, logvar, kl_standard_normal(mu, logvar), shown, *errors, reconstruction.ssim(predicted, x)))
    return Encodings(*(torch.cat(values) for values in zip(*parts, strict=True)))


def shuffled_mse(model: VAE, images: Tensor, mu: Tensor, seed: int) -> float:
    """Mean squared error when every image is decoded from another image's code."""
    order = collapse.derangement(len(mu), torch.Generator().manual_seed(seed))
    total = 0.0
    for part, codes in zip(images.split(EVAL_BATCH_SIZE), mu[order].split(EVAL_BATCH_SIZE), strict=True):
        predicted = model.to_pixels(model.decode(codes))
        total += float(reconstruction.mse_per_image(predicted, loader.to_float(part)).double().sum())
    return total / len(images)


def training_metrics(run: RunConfig, baselines: Baselines, history: pd.DataFrame) -> dict[str, Any]:
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
        name: loader.expected_augmented_image(image, augment.flip, augment.crop_padding)
        for name, image in (("mean", baselines.mean), ("entropy", baselines.entropy))
    }
    figures["train_mean_image_bce"] = float(reconstruction.binary_entropy(expected["mean"]).mean())
    figures["train_bce_floor"] = float(expected["entropy"].mean())
    if run.recipe.objective.likelihood == "bernoulli":
        figures["train_explained_information"] = reconstruction.explained_information(
            figures["train_reconstruction_per_dim"], figures["train_mean_image_bce"], figures["train_bce_floor"]
        )
    return figures
