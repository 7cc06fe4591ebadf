"""Show one run's model at work: models/<run>/ and data/ -> reports/samples/<run>/."""

import numpy as np
import torch
from torch import Tensor

from pipeline import atomic, checkpoint
from pipeline.data import batches, datasets
from pipeline.model.vae import VAE
from pipeline.params import Params, Run
from pipeline.paths import Paths
from pipeline.pictures import mosaic, to_uint8


@torch.inference_mode()
def main(run: Run, params: Params, paths: Paths) -> None:
    model, _ = checkpoint.load_model(paths.model(run.name))
    dataset = datasets.load(paths.dataset(params.data.dataset))
    wanted = params.sample
    # The same test images for every run, and the same z for every run of one latent size.
    generator = torch.Generator().manual_seed(wanted.seed)
    picked = torch.randperm(len(dataset.test_images), generator=generator)[: wanted.images].numpy()
    originals = dataset.test_images[np.sort(picked)]
    mu, _ = model.encode(batches.scaled(torch.from_numpy(originals)))
    z = torch.randn(wanted.images, run.latent_dim, generator=torch.Generator().manual_seed(wanted.seed))
    ends = mu.roll(-1, 0)[: wanted.interpolations]
    paths_between = torch.lerp(mu[: len(ends), None], ends[:, None], torch.linspace(0, 1, wanted.steps)[:, None])

    with atomic.folder(paths.samples(run.name)) as folder:
        atomic.write_bytes(folder / "originals.png", mosaic(originals[None]))
        atomic.write_bytes(folder / "reconstructions.png", mosaic(decoded(model, mu)[None]))
        atomic.write_bytes(folder / "samples.png", mosaic(decoded(model, z)[None]))
        between = decoded(model, paths_between.flatten(0, 1))
        atomic.write_bytes(folder / "interpolations.png", mosaic(between.reshape(len(ends), -1, *between.shape[1:])))


def decoded(model: VAE, z: Tensor) -> np.ndarray:
    return to_uint8(model.pixel_means(model.decode(z)).numpy())
