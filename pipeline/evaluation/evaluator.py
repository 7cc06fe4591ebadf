"""All metrics of one run, gathered under the keys that JSON, MLflow and the report share."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.config.grid import RunConfig
from pipeline.config.schema import EvalConfig
from pipeline.data.images import to_uint8
from pipeline.data.loader import expected_augmented_image, to_float
from pipeline.evaluation import collapse, controls, reconstruction
from pipeline.evaluation.baselines import Baselines
from pipeline.evaluation.features import FeatureExtractor, feature_precision
from pipeline.evaluation.latents import latent_metrics
from pipeline.evaluation.likelihood import bits_per_dim, iwae_bound
from pipeline.evaluation.samples import ImageSets, NearestNeighbors, sample_metrics
from pipeline.models.posterior import Posterior
from pipeline.models.vae import VAE
from pipeline.training.device import resolve_precision
from pipeline.training.trainer import EVAL_BATCH_SIZE, validate


class EvalInputs(NamedTuple):
    """A trained run and the images, uint8 [N, C, H, W], that it is measured on, on one device.

    `samples` has a set for each prior.
    """

    run: RunConfig
    model: VAE
    history: pd.DataFrame
    test_images: Tensor
    test_labels: np.ndarray
    train_images: Tensor
    train_labels: np.ndarray
    samples: dict[str, Tensor]


class EvalResult(NamedTuple):
    """Headline metrics, a row for each latent dimension, the best prior and its neighbors."""

    metrics: dict[str, Any]
    latent_stats: pd.DataFrame
    best_prior: str
    neighbors: NearestNeighbors


class Encodings(NamedTuple):
    """Of every image: mu, logvar and KL [N, latent_dim]; its mu decoded; errors and SSIM [N].

    `reconstructions` are uint8 [N, C, H, W].
    """

    mu: Tensor
    logvar: Tensor
    kl: Tensor
    reconstructions: Tensor
    mse: Tensor
    bce: Tensor
    ssim: Tensor


def evaluate(
    inputs: EvalInputs, baselines: Baselines, extractor: FeatureExtractor, config: EvalConfig
) -> EvalResult:
    """Measure a model; docs/metrics.md has each key's definition."""
    run, model, test_images = inputs.run, inputs.model, inputs.test_images
    encodings = encode_all(model, test_images, config.seed)
    shuffled = shuffled_mse(model, test_images, encodings.mu, config.seed)
    metrics: dict[str, Any] = {
        "num_test_images": len(test_images),
        "feature_extractor": config.feature_extractor,
        "feature_precision": feature_precision(config.feature_extractor, test_images.device),
    }
    metrics |= validate(model, test_images, run.loss, config.seed, "test")
    metrics |= reconstruction_metrics(encodings, run.latent_dim, baselines)
    metrics |= training_metrics(run, baselines, inputs.history)
    metrics |= cost_metrics(model)
    metrics |= collapse_metrics(encodings, shuffled, config)
    metrics |= likelihood_metrics(run, model, test_images, config)
    num_probe_images = config.num_probe_images
    metrics |= latent_metrics(
        Posterior(encodings.mu, encodings.logvar),
        inputs.test_labels,
        encode_images(model, inputs.train_images[:num_probe_images]),
        inputs.train_labels[:num_probe_images],
        torch.Generator().manual_seed(config.seed),
    )
    metrics |= controls.control_metrics(model, test_images, config.seed)
    null_code = controls.null_code_images(
        model, config.num_feature_images, torch.Generator().manual_seed(config.seed)
    )
    sets = ImageSets(test_images, encodings.reconstructions, inputs.samples, null_code)
    of_sets, best_prior, neighbors = sample_metrics(sets, baselines.features, extractor, config)
    return EvalResult(metrics | of_sets, latent_stats(encodings), best_prior, neighbors)


def encode_all(model: VAE, images: Tensor, seed: int) -> Encodings:
    """Encode every image and decode its mu, a flow from the noise of this seed."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for part in images.split(EVAL_BATCH_SIZE):
        x = to_float(part)
        posterior = model.encode(x)
        predicted = model.to_images(posterior.mu, model.draw_noise(len(x), generator))
        parts.append(
            Encodings(
                mu=posterior.mu,
                logvar=posterior.logvar,
                kl=posterior.kl(),
                reconstructions=torch.from_numpy(to_uint8(predicted.cpu().numpy())).to(x.device),
                mse=reconstruction.mse_per_image(predicted, x),
                bce=reconstruction.bce_per_image(predicted, x),
                ssim=reconstruction.ssim(predicted, x),
            )
        )
    return Encodings(*(torch.cat(values) for values in zip(*parts, strict=True)))


def encode_images(model: VAE, images: Tensor) -> Posterior:
    """Encode uint8 images [N, C, H, W]."""
    parts = [model.encode(to_float(part)) for part in images.split(EVAL_BATCH_SIZE)]
    return Posterior(*(torch.cat(moments) for moments in zip(*parts, strict=True)))


def shuffled_mse(model: VAE, images: Tensor, mu: Tensor, seed: int) -> float:
    """Return the mean squared error when every image is decoded from another image's code.

    A flow starts from the same noise as it does with the image's own.
    """
    order = collapse.derangement(len(mu), torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    others = mu[order.to(mu.device)]
    parts = zip(images.split(EVAL_BATCH_SIZE), others.split(EVAL_BATCH_SIZE), strict=True)
    for part, z in parts:
        predicted = model.to_images(z, model.draw_noise(len(z), generator))
        total += float(reconstruction.mse_per_image(predicted, to_float(part)).double().sum())
    return total / len(images)


def latent_stats(encodings: Encodings) -> pd.DataFrame:
    """Return each latent dimension's KL (nats, mean over images) and the variance of its mu."""
    return pd.DataFrame(
        {
            "dimension": range(encodings.mu.shape[1]),
            "kl": encodings.kl.double().mean(0).cpu().numpy(),
            "mu_variance": encodings.mu.double().var(0, unbiased=False).cpu().numpy(),
        }
    )


def cost_metrics(model: VAE) -> dict[str, int]:
    """Count the weights and one image's forward operations (a multiply-add is two)."""
    from torch.utils.flop_counter import FlopCounterMode

    device = model.decoder_logvar.device
    image = torch.zeros(1, *model.image_shape, device=device)
    with FlopCounterMode(display=False) as counter:
        model(image, model.draw(1, torch.Generator()).map(lambda part: part.to(device)))
    num_params = sum(p.numel() for p in model.parameters())
    return {"num_params": num_params, "forward_flops": counter.get_total_flops()}


def likelihood_metrics(
    run: RunConfig, model: VAE, test_images: Tensor, config: EvalConfig
) -> dict[str, Any]:
    """Bound the first test images' likelihood; a Bernoulli's is none of 8-bit images."""
    if model.likelihood != "gaussian":
        return {}
    images = test_images[: config.num_likelihood_images]
    precision = resolve_precision(run.train.precision, images.device)
    generator = torch.Generator().manual_seed(config.seed)
    bound = iwae_bound(model, images, config.num_importance_samples, generator, precision)
    return {
        "bits_per_dim": bits_per_dim(bound, images[0].numel()),
        "num_likelihood_images": len(images),
        "num_importance_samples": config.num_importance_samples,
        "likelihood_precision": precision,
    }


def reconstruction_metrics(
    encodings: Encodings, latent_dim: int, baselines: Baselines
) -> dict[str, Any]:
    """Measure how well mu is decoded, beside PCA of the same size and the mean image."""
    known = baselines.metrics
    mse, bce = float(encodings.mse.double().mean()), float(encodings.bce.double().mean())
    mean_image_bce, bce_perfect = known["mean_image_bce"], known["bce_perfect"]
    pca_mse = known["pca_mse"][min(latent_dim, len(known["pca_mse"]) - 1)]
    ppca = known["ppca_bits_per_dim"]
    log_mse = encodings.mse.double().clamp(min=1e-12).log10()
    return {
        "mse": mse,
        "psnr_db": reconstruction.psnr(mse),
        "psnr_db_per_image": float(-10 * log_mse.mean()),
        "ssim": float(encodings.ssim.double().mean()),
        "pca_psnr_db": reconstruction.psnr(max(pca_mse, 1e-12)),
        "ppca_bits_per_dim": ppca[min(latent_dim, len(ppca) - 1)],
        "bce": bce,
        "mean_image_bce": mean_image_bce,
        "bce_perfect": bce_perfect,
        "explained_information": reconstruction.explained_information(
            bce, mean_image_bce, bce_perfect
        ),
    }


def collapse_metrics(encodings: Encodings, shuffled: float, config: EvalConfig) -> dict[str, Any]:
    """Diagnose a collapse; `shuffled` is the MSE with another image's code."""
    kl = float(encodings.kl.double().sum(1).mean())
    own = float(encodings.mse.double().mean())
    diagnosis = collapse.diagnose_collapse(encodings.mu, config.active_threshold, own, shuffled, kl)
    return {
        "active_units": diagnosis.active_units,
        "active_fraction": diagnosis.active_fraction,
        "shuffle_gain": diagnosis.shuffle_gain,
        "is_collapsed": int(diagnosis.label == "collapsed"),
        "collapse_label": diagnosis.label,
        "collapse_reason": diagnosis.reason,
    }


def training_metrics(run: RunConfig, baselines: Baselines, history: pd.DataFrame) -> dict[str, Any]:
    """Take the last epoch's training terms, and what the mean augmented image would cost instead.

    The best constant prediction costs the binary entropy of the mean augmented image; the least
    possible is the mean entropy of the augmented images. Both are exact. They are on the scale of
    the training loss for the Bernoulli likelihood only.
    """
    last = history.iloc[-1]
    keys = [key for key in history.columns if key.startswith("train_")]
    metrics: dict[str, Any] = {"epochs": int(last["epoch"])}
    metrics |= {key: float(last[key]) for key in keys}
    flip, crop_padding = run.train.augment.flip, run.train.augment.crop_padding
    mean = expected_augmented_image(baselines.mean, flip, crop_padding)
    entropy = expected_augmented_image(baselines.entropy, flip, crop_padding)
    metrics["train_mean_image_bce"] = float(reconstruction.binary_entropy(mean).mean())
    metrics["train_bce_perfect"] = float(entropy.mean())
    if run.loss.likelihood == "bernoulli":
        metrics["train_explained_information"] = reconstruction.explained_information(
            metrics["train_reconstruction_per_dim"],
            metrics["train_mean_image_bce"],
            metrics["train_bce_perfect"],
        )
    return metrics
