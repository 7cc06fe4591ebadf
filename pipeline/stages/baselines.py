"""Measure what a VAE must beat: data/ -> models/baselines/."""

import torch
from safetensors.torch import save

from pipeline import atomic, baselines
from pipeline.data import batches, datasets
from pipeline.params import Params
from pipeline.paths import Paths
from pipeline.stages import start


def main(params: Params, paths: Paths) -> None:
    dataset = datasets.load(paths.dataset(params.data.dataset))
    chosen, _ = batches.split(len(dataset.train_images), params.data.validation, params.data.train_images)
    fitted = baselines.moments(torch.from_numpy(dataset.train_images[chosen.numpy()]))
    test_images = torch.tensor(dataset.test_images[: params.evaluate.images])
    with atomic.folder(paths.baselines) as folder:
        atomic.write_json(folder / "baselines.json", baselines.measure(fitted, baselines.pca(fitted), test_images))
        image = fitted.mean.reshape(fitted.entropy.shape)
        atomic.write_bytes(folder / "mean.safetensors", save({"mean": image, "entropy": fitted.entropy}))


if __name__ == "__main__":
    start(main)
