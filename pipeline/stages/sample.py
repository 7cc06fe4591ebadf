"""Show one run's model at work and draw from its priors: models/<run>/ and data/ -> reports/samples/<run>/."""

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from pipeline.storage import atomic
from pipeline.training import checkpoint
from pipeline.sampling import priors
from pipeline.data import loader, dataset as dataset_files
from pipeline.models.vae import VAE
from pipeline.config.schema import Config, RunConfig, SampleConfig
from pipeline.config.paths import Paths
from pipeline.data.images import grid_png, to_uint8

BATCH = 500


@torch.inference_mode()
def main(run: RunConfig, params: Config, paths: Paths) -> None:
    model, _ = checkpoint.load_model(paths.model(run.name))
    dataset = dataset_files.load(paths.dataset(params.data.dataset))
    wanted = params.sample
    # The same test images for every run, and the same z for every run of one latent size.
    generator = torch.Generator().manual_seed(wanted.seed)
    picked = torch.randperm(len(dataset.test_images), generator=generator)[: wanted.images].numpy()
    originals = dataset.test_images[np.sort(picked)]
    mu, _ = model.encode(loader.to_float(torch.from_numpy(originals)))
    ends = mu.roll(-1, 0)[: wanted.interpolations]
    paths_between = torch.lerp(mu[: len(ends), None], ends[:, None], torch.linspace(0, 1, wanted.steps)[:, None])
    between = decoded(model, paths_between.flatten(0, 1))
    chosen, _ = loader.train_val_split(len(dataset.train_images), params.data.validation, params.data.train_images)
    fitted = torch.from_numpy(dataset.train_images[chosen.numpy()[: wanted.fitted]])
    drawn = {prior: decoded(model, z) for prior, z in draw(model, fitted, wanted).items()}

    with atomic.folder(paths.samples(run.name)) as folder:
        pictures = {"originals": originals[None], "reconstructions": decoded(model, mu)[None]}
        pictures |= {"interpolations": between.reshape(len(ends), -1, *between.shape[1:])}
        pictures |= {f"samples_{prior}": images[None, : wanted.images] for prior, images in drawn.items()}
        for name, rows in pictures.items():
            atomic.write_bytes(folder / f"{name}.png", grid_png(rows))
        atomic.write_bytes(folder / "drawn.safetensors", save({k: torch.from_numpy(v) for k, v in drawn.items()}))


def draw(model: VAE, images: Tensor, wanted: SampleConfig) -> dict[str, Tensor]:
    """Codes [drawn, latent_dim] of the standard normal, and of priors fitted to one code for each of the images."""
    generator = torch.Generator().manual_seed(wanted.seed)
    normal = torch.randn(wanted.drawn, model.latent_dim, generator=generator)
    codes = []
    for part in images.split(BATCH):
        mu, logvar = model.encode(loader.to_float(part))
        codes.append(mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape, generator=generator))
    z = torch.cat(codes)
    mixture = priors.fit_gmm_prior(z, wanted.seed)
    with torch.inference_mode(mode=False):
        second_stage = priors.fit_two_stage_prior(z.clone(), wanted.second_stage_epochs, generator)
    return {
        "normal": normal,
        "gmm": mixture.draw(wanted.drawn, generator),
        "second_stage": second_stage.draw(wanted.drawn, generator),
    }


def decoded(model: VAE, z: Tensor) -> np.ndarray:
    """Codes to images, uint8 [N, C, H, W], in that order in memory whatever the model's layout is."""
    parts = [to_uint8(model.to_pixels(model.decode(part)).numpy()) for part in z.split(BATCH)]
    return np.ascontiguousarray(np.concatenate(parts))
