"""Measure what a VAE must beat: data/ -> models/baselines/."""

import torch
from safetensors.torch import save

from pipeline import atomic, baselines
from pipeline.data import batches, datasets
from pipeline.metrics.distances import distances
from pipeline.metrics.features import extractor, features
from pipeline.model.pca import fit_pca
from pipeline.params import Params
from pipeline.paths import Paths


def main(params: Params, paths: Paths) -> None:
    dataset = datasets.load(paths.dataset(params.data.dataset))
    chosen, _ = batches.split(len(dataset.train_images), params.data.validation, params.data.train_images)
    train_images = torch.from_numpy(dataset.train_images[chosen.numpy()])
    pca, entropy = fit_pca(train_images), baselines.mean_entropy(train_images)
    wanted = params.evaluate
    test_images = torch.tensor(dataset.test_images[: wanted.images])
    extract = extractor(wanted.extractor, wanted.extractor_weights)
    real = {"test": features(test_images[: wanted.features], extract)}
    real["train"] = features(train_images[: wanted.features], extract)
    figures = baselines.measure(pca, test_images) | distances(real["test"], real["train"], "floor", wanted.seed)
    figures["feature_images"] = len(real["test"])
    with atomic.folder(paths.baselines) as folder:
        atomic.write_json(folder / "baselines.json", figures)
        atomic.write_bytes(
            folder / "mean.safetensors", save({"mean": pca.mean.reshape(entropy.shape), "entropy": entropy})
        )
        atomic.write_bytes(folder / "features.safetensors", save(real))
