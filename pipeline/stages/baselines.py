"""Measure what a VAE must beat: data/ -> models/baselines/."""

import numpy as np
import torch

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.data.loader import load_split
from pipeline.evaluation.baselines import compute_baselines, mean_pixel_entropy
from pipeline.evaluation.distances import FeatureSet, distances
from pipeline.evaluation.features import extract_features, load_feature_extractor
from pipeline.evaluation.rivals import gaussian_samples
from pipeline.models.pca import fit_pca
from pipeline.storage import atomic
from pipeline.training.device import get_device


def main(config: Config, paths: Paths) -> None:
    from safetensors.torch import save

    # Read.
    dataset, train_idx, val_idx = load_split(config.data, paths)
    device = get_device()
    train_images = torch.from_numpy(dataset.train_images[train_idx]).to(device)
    val_images = torch.from_numpy(dataset.train_images[val_idx]).to(device)
    test_images = torch.tensor(dataset.test_images[: config.evaluate.num_images], device=device)

    # Measure.
    pca, entropy = fit_pca(train_images), mean_pixel_entropy(train_images)
    weights = paths.of_user(config.evaluate.feature_extractor_weights)
    extractor = load_feature_extractor(config.evaluate.feature_extractor, weights, device)
    count = config.evaluate.num_feature_images
    features = {
        "test": extract_features(test_images[:count], extractor),
        "train": extract_features(train_images[:count], extractor),
        "val": extract_features(val_images[:count], extractor),
    }
    seed = config.evaluate.seed
    test = FeatureSet(features["test"], seed)
    metrics = compute_baselines(pca, test_images)
    metrics |= distances(test, FeatureSet(features["train"], seed), "train_vs_test")
    metrics["num_feature_images"] = len(features["test"])
    metrics["num_train_images"] = len(train_images)
    classes = np.bincount(dataset.test_labels[: config.evaluate.num_images])
    metrics["most_frequent_class"] = float(classes.max() / classes.sum())
    generator = torch.Generator().manual_seed(seed)
    samples = gaussian_samples(pca, test_images, len(features["test"]), generator)
    of_gaussian = extract_features(samples, extractor)
    metrics |= distances(test, FeatureSet(of_gaussian, seed), "gaussian")

    # Write.
    maps = {"mean": pca.mean.reshape(entropy.shape).cpu(), "entropy": entropy.cpu()}
    features = {name: tensor.cpu() for name, tensor in features.items()}
    # Single precision: half a gigabyte of cache for all digits would serve nobody.
    components = {name: tensor.float().cpu().contiguous() for name, tensor in pca._asdict().items()}
    with atomic.folder(paths.baselines) as folder:
        atomic.write_json(folder / "baselines.json", metrics)
        atomic.write_bytes(folder / "mean.safetensors", save(maps))
        atomic.write_bytes(folder / "features.safetensors", save(features))
        atomic.write_bytes(folder / "pca.safetensors", save(components))
