"""What the explorer needs of a run's codes: some of them, and directions to move along."""

import torch
from torch import Tensor

from pipeline.data.loader import to_float
from pipeline.models.decoders import ConvDecoder, RefinedLinearDecoder
from pipeline.models.posterior import Posterior, kl_standard_normal
from pipeline.models.vae import VAE

NUM_DIRECTIONS = 8
# Test images that the directions are found with.
NUM_IMAGES = 2_000
BATCH_SIZE = 500
# Directions of less variance than this share of the greatest are rounding errors.
MIN_VARIANCE = 1e-9


def explored_codes(
    model: VAE,
    mu: Tensor,
    drawn: dict[str, Tensor],
    images: Tensor,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return the codes mu [N, latent_dim] of N images, as many drawn from each prior, directions.

    `images` are what `leading_directions` takes. Nothing for a flow: it makes many images of one
    code, each in many passes.
    """
    if not isinstance(model.decoder, ConvDecoder | RefinedLinearDecoder):
        return {}
    codes = {"mu": mu, **{prior: z[: len(mu)] for prior, z in drawn.items()}}
    codes |= leading_directions(model, images, generator)
    return {name: values.float().cpu().contiguous() for name, values in codes.items()}


def leading_directions(model: VAE, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Return principal axes of the codes of images, weighed by how far they move the decoder.

    By variance alone they would say little: codes that use their prior are nearly white. What
    weighs them is the linear map nearest to the decoder, so that those of a linear decoder are
    the principal components of its images. images are uint8 [N, C, H, W].

    - `directions` [K, latent_dim]: one standard deviation of z ~ q(z|x) along each; it makes the
      image brighter
    - `image_variance` [K]: the variance of pixels that each explains, a share of the images' own
    - `kl`, `mu_variance` [K]: of the posterior along each, its mean KL to N(0, 1) in nats, and the
      variance of its mean over the images
    """
    x = to_float(images)
    moments = [model.encode(part) for part in x.split(BATCH_SIZE)]
    posterior = Posterior(*(torch.cat(parts) for parts in zip(*moments, strict=True)))
    eps = torch.randn(posterior.mu.shape, generator=generator)
    z = posterior.sample(eps.to(images.device))
    decoded = torch.cat([model.to_pixels(model.decode(part)) for part in z.split(BATCH_SIZE)])

    # Whiten the codes: their covariance is root root^T.
    z, decoded, pixels = (part.flatten(1).double().cpu() for part in (z, decoded, x))
    z = z - z.mean(0)
    variances, vectors = torch.linalg.eigh(z.T @ z / len(z))
    kept = variances > MIN_VARIANCE * variances[-1]
    deviations = variances[kept].sqrt()
    root = vectors[:, kept] * deviations

    # The image's answer to each white dimension [r, D], and the principal axes of that.
    answer = (z @ (vectors[:, kept] / deviations)).T @ (decoded - decoded.mean(0)) / len(z)
    _, axes = torch.linalg.eigh(answer @ answer.T)
    axes = axes.flip(1)[:, :NUM_DIRECTIONS].T
    axes = axes * torch.where((axes @ answer).sum(1) < 0, -1.0, 1.0)[:, None]
    directions = axes @ root.T
    explained = (axes @ answer).square().sum(1) / pixels.var(0, unbiased=False).sum()
    return {
        "directions": directions,
        "image_variance": explained,
        **_along(posterior, directions.float()),
    }


def _along(posterior: Posterior, directions: Tensor) -> dict[str, Tensor]:
    """Return KL and variance of the posterior's marginal along each direction [K, latent_dim]."""
    mu, logvar = (moment.cpu() for moment in posterior)
    unit = directions / directions.norm(dim=1, keepdim=True)
    means = mu @ unit.T
    variances = logvar.exp() @ unit.square().T
    return {
        "kl": kl_standard_normal(means, variances.log()).mean(0),
        "mu_variance": means.var(0, unbiased=False),
    }
