"""Measure what a VAE must beat: data/ -> models/baselines/."""

import torch
from safetensors.torch import save

from pipeline.storage import atomic
from pipeline.evaluation import baselines
from pipeline.data import loader, dataset as dataset_files
from pipeline.evaluation.distances import distances
from pipeline.evaluation.extract_features import load_feature_extractor, extract_features
from pipeline.models.pca import fit_pca
from pipeline.config.schema import Config
from pipeline.config.paths import Paths


def main(params: Config, paths: Paths) -> None:
    dataset = dataset_files.load(paths.dataset(params.data.dataset))
    chosen, _ = loader.train_val_split(len(dataset.train_images), params.data.validation, params.data.train_images)
    train_images = torch.from_numpy(dataset.train_images[chosen.numpy()])
    pca, entropy = fit_pca(train_images), baselines.mean_pixel_entropy(train_images)
    wanted = params.evaluate
    test_images = torch.tensor(dataset.test_images[: wanted.images])
    extract = load_feature_extractor(wanted.load_feature_extractor, wanted.extractor_weights)
    real = {"test": extract_features(test_images[: wanted.extract_features], extract)}
    real["train"] = extract_features(train_images[: wanted.extract_features], extract)
    figures = baselines.measure(pca, test_images) | distances(real["test"], real["train"], "floor", wanted.seed)
    figures["feature_images"] = len(real["test"])
    with atomic.folder(paths.baselines) as folder:
        atomic.write_json(folder / "baselines.json", figures)
        atomic.write_bytes(
            folder / "mean.safetensors", save({"mean": pca.mean.reshape(entropy.shape), "entropy": entropy})
        )
        atomic.write_bytes(folder / "features.safetensors", save(real))
