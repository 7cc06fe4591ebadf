"""Measure one run: its model and samples, data/, baselines -> reports/metrics/<run>.json."""

import logging

import torch

from pipeline import UserError
from pipeline.config.grid import Config, RunConfig
from pipeline.config.paths import Paths
from pipeline.config.run_record import (
    WEIGHTS,
    load_run_record,
    require_samples,
    weights_sha256,
)
from pipeline.data.images import grid_png
from pipeline.data.loader import load_split
from pipeline.evaluation.baselines import load_baselines
from pipeline.evaluation.evaluator import EvalInputs, evaluate
from pipeline.evaluation.features import load_feature_extractor
from pipeline.models.vae import VAE
from pipeline.storage import atomic
from pipeline.storage.reading import read_csv, read_tensors
from pipeline.tracking.artifacts import log_evaluation
from pipeline.training.device import get_device

NUM_NEIGHBOR_IMAGES = 10
logger = logging.getLogger(__name__)


@torch.inference_mode()
def main(run: RunConfig, config: Config, paths: Paths) -> None:
    # Read.
    require_samples(run.name, paths)
    dataset, split, _ = load_split(config.data, paths)
    count = max(config.evaluate.num_feature_images, config.evaluate.num_probe_images)
    train_idx = split[:count]
    device, num_images = get_device(), config.evaluate.num_images
    of_model = {WEIGHTS: weights_sha256(run.name, paths)}
    samples = read_tensors(paths.samples(run.name) / "samples.safetensors")
    inputs = EvalInputs(
        run=run,
        model=VAE.from_pretrained(paths.model(run.name)).to(device),
        history=read_csv(paths.model(run.name) / "history.csv"),
        test_images=torch.tensor(dataset.test_images[:num_images], device=device),
        test_labels=dataset.test_labels[:num_images],
        train_images=torch.from_numpy(dataset.train_images[train_idx]).to(device),
        train_labels=dataset.train_labels[train_idx],
        samples={prior: images.to(device) for prior, images in samples.items()},
    )

    # Measure.
    weights = paths.of_user(config.evaluate.feature_extractor_weights)
    extractor = load_feature_extractor(config.evaluate.feature_extractor, weights, device)
    baselines = load_baselines(paths.baselines, device)
    result = evaluate(inputs, baselines, extractor, config.evaluate)
    nearest = inputs.train_images[result.neighbors.nearest[:NUM_NEIGHBOR_IMAGES]]
    pairs = torch.stack([inputs.samples[result.best_prior][: len(nearest)], nearest])

    # Write.
    atomic.write_text(paths.latent_stats(run.name), result.latent_stats.to_csv(index=False))
    atomic.write_bytes(paths.nearest_neighbors(run.name), grid_png(pairs.cpu().numpy()))
    atomic.write_json(paths.metrics(run.name), of_model | result.metrics)
    log_evaluation(load_run_record(run.name, config.tracking.experiment, paths))
    label, reason = result.metrics["collapse_label"], result.metrics["collapse_reason"]
    logger.info("%s: %s: %s", run.name, label, reason)
    if config.evaluate.fail_on_collapse and result.metrics["is_collapsed"]:
        raise UserError(f"{run.name}: {label}: {reason}; evaluate.fail_on_collapse is true")
