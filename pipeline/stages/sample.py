"""Show a run's model at work and draw from its priors: models/<run>/ -> reports/samples/<run>/."""

import numpy as np
import torch

from pipeline.config.grid import Config, RunConfig
from pipeline.config.paths import Paths
from pipeline.config.run_record import WEIGHTS, weights_sha256
from pipeline.data.images import grid_png
from pipeline.data.loader import load_split, to_float
from pipeline.models.vae import VAE
from pipeline.sampling.directions import NUM_IMAGES, explored_codes
from pipeline.sampling.fitted import FILE
from pipeline.sampling.samplers import (
    decode_paths,
    decode_to_uint8,
    interpolate,
    sample_priors,
)
from pipeline.storage import atomic
from pipeline.training.device import get_device


@torch.inference_mode()
def main(run: RunConfig, config: Config, paths: Paths) -> None:
    from safetensors.torch import save

    device = get_device()
    drawn_from = {WEIGHTS: weights_sha256(run.name, paths)}
    model = VAE.from_pretrained(paths.model(run.name)).to(device)
    dataset, train_idx, _ = load_split(config.data, paths)
    count, steps = config.sample.num_interpolations, config.sample.interpolation_steps

    # The same test images for every run, and the same z for every run of one latent size.
    generator = torch.Generator().manual_seed(config.sample.seed)
    order = torch.randperm(len(dataset.test_images), generator=generator)
    originals = dataset.test_images[np.sort(order[: config.sample.num_grid_images].numpy())]
    mu = model.encode(to_float(torch.from_numpy(originals).to(device))).mu
    between = interpolate(mu, count, steps)
    interpolations = decode_paths(model, between, generator)

    fit_idx = train_idx[: config.sample.num_fit_images]
    fit_images = torch.from_numpy(dataset.train_images[fit_idx]).to(device)
    codes, fitted = sample_priors(model, fit_images, config.sample)
    samples = {prior: decode_to_uint8(model, z, generator) for prior, z in codes.items()}

    with atomic.folder(paths.samples(run.name)) as folder:
        grids = {
            "originals": originals[None],
            "reconstructions": decode_to_uint8(model, mu, generator)[None],
            "interpolations": interpolations,
        }
        for prior, images in samples.items():
            grids[f"samples_{prior}"] = images[None, : config.sample.num_grid_images]
        for name, rows in grids.items():
            atomic.write_bytes(folder / f"{name}.png", grid_png(rows))
        tensors = {prior: torch.from_numpy(images) for prior, images in samples.items()}
        atomic.write_bytes(folder / "samples.safetensors", save(tensors))
        atomic.write_bytes(folder / FILE, save(fitted.tensors()))
        atomic.write_json(folder / paths.drawn_from(run.name).name, drawn_from)
        # Last: what it draws must not change the pictures above.
        test_images = torch.tensor(dataset.test_images[:NUM_IMAGES], device=device)
        explored = explored_codes(model, mu, codes, test_images, generator)
        atomic.write_bytes(folder / "codes.safetensors", save(explored))
