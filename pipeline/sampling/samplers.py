"""Codes to images: samples of every prior, reconstructions, paths between two images."""

import numpy as np
import torch
from torch import Tensor

from pipeline.config.schema import SampleConfig
from pipeline.data.images import to_uint8
from pipeline.data.loader import to_float
from pipeline.models.vae import VAE
from pipeline.sampling.fitted import FittedPriors
from pipeline.sampling.gmm import fit_gmm_prior
from pipeline.sampling.priors import fit_two_stage_prior

BATCH_SIZE = 500


def sample_priors(
    model: VAE, images: Tensor, config: SampleConfig
) -> tuple[dict[str, Tensor], FittedPriors]:
    """Draw codes z [num_samples, latent_dim] from each of the PRIORS.

    All but the standard normal are fitted to one code for each of the images, uint8 [N, C, H, W],
    and returned, too.
    """
    generator = torch.Generator().manual_seed(config.seed)
    normal = torch.randn(config.num_samples, model.latent_dim, generator=generator)
    normal = normal.to(images.device)
    z = sample_codes(model, images, generator)
    gmm = fit_gmm_prior(z, torch.Generator().manual_seed(config.seed))
    with torch.inference_mode(mode=False):
        two_stage = fit_two_stage_prior(z.clone(), config.two_stage_epochs, generator)
    codes = {
        "normal": normal,
        "gmm": gmm.sample(config.num_samples, generator),
        "two_stage": two_stage.sample(config.num_samples, generator),
    }
    return codes, FittedPriors(gmm, two_stage)


def sample_codes(model: VAE, images: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one z ~ q(z|x) for each of the images, uint8 [N, C, H, W]; [N, latent_dim]."""
    codes = []
    for part in images.split(BATCH_SIZE):
        posterior = model.encode(to_float(part))
        eps = torch.randn(posterior.mu.shape, generator=generator).to(images.device)
        codes.append(posterior.sample(eps))
    return torch.cat(codes)


def interpolate(mu: Tensor, count: int, steps: int) -> Tensor:
    """Walk straight from each of the first `count` codes to its neighbor, [count, steps, D]."""
    ends = mu.roll(-1, 0)[:count]
    share = torch.linspace(0, 1, steps, device=mu.device)[:, None]
    return torch.lerp(mu[: len(ends), None], ends[:, None], share)


def decode_to_uint8(
    model: VAE, z: Tensor, generator: torch.Generator, num_steps: int | None = None
) -> np.ndarray:
    """Turn codes z [N, latent_dim] into images uint8 [N, C, H, W], in that order in memory.

    The generator draws what a flow starts from; `num_steps` are its evaluations.
    """
    images = []
    for part in z.split(BATCH_SIZE):
        pixels = model.to_images(part, model.draw_noise(len(part), generator), num_steps)
        images.append(to_uint8(pixels.cpu().numpy()))
    return np.ascontiguousarray(np.concatenate(images))


def decode_paths(
    model: VAE, z: Tensor, generator: torch.Generator, num_steps: int | None = None
) -> np.ndarray:
    """Turn paths of codes [P, steps, latent_dim] into images uint8 [P, steps, C, H, W].

    A flow starts all images of a path from the same noise: only the code makes them differ.
    """
    count, steps, _ = z.shape
    noise = model.draw_noise(count, generator)
    images = []
    for start in range(0, count * steps, BATCH_SIZE):
        part = z.flatten(0, 1)[start : start + BATCH_SIZE]
        path = torch.arange(start, start + len(part)) // steps
        pixels = model.to_images(part, None if noise is None else noise[path], num_steps)
        images.append(to_uint8(pixels.cpu().numpy()))
    return np.concatenate(images).reshape(count, steps, *model.image_shape)
