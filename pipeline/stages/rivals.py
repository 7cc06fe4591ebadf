"""Measure what PCA of one size makes of images: data/, baselines -> reports/rivals/<size>.json."""

import torch

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.data.loader import load_split
from pipeline.evaluation.baselines import load_baselines, load_pca
from pipeline.evaluation.distances import FeatureSet, distances
from pipeline.evaluation.features import extract_features, load_feature_extractor
from pipeline.evaluation.rivals import pca_reconstructions
from pipeline.storage import atomic
from pipeline.training.device import get_device


@torch.inference_mode()
def main(latent_dim: int, config: Config, paths: Paths) -> None:
    # Read.
    device, count = get_device(), config.evaluate.num_feature_images
    dataset, train_idx, _ = load_split(config.data, paths)
    test = dataset.test_images[: config.evaluate.num_images][:count]
    images = {
        "pca": torch.tensor(test, device=device),
        # Training images with the blur of that many components, and nothing else wrong.
        "blurred_train": torch.from_numpy(dataset.train_images[train_idx[:count]]).to(device),
    }
    pca = load_pca(paths.baselines, device)
    test_features = load_baselines(paths.baselines, device).features.test
    weights = paths.of_user(config.evaluate.feature_extractor_weights)
    extractor = load_feature_extractor(config.evaluate.feature_extractor, weights, device)

    # Measure.
    reference = FeatureSet(test_features, config.evaluate.seed)
    metrics: dict[str, float] = {"latent_dim": latent_dim}
    for name, originals in images.items():
        features = extract_features(pca_reconstructions(pca, originals, latent_dim), extractor)
        metrics |= distances(reference, FeatureSet(features, config.evaluate.seed), name)

    # Write.
    atomic.write_json(paths.rivals(latent_dim), metrics)
