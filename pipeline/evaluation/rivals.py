"""Sets of images that need no VAE, to judge its own by: of PCA, of a Gaussian, blurred ones."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.data.images import to_uint8
from pipeline.data.loader import to_float
from pipeline.models.pca import CHUNK_SIZE, PCA


def pca_reconstructions(pca: PCA, images: Tensor, latent_dim: int) -> Tensor:
    """Keep the first latent_dim components of uint8 images [N, C, H, W]; uint8 of that shape."""
    basis = pca.components[:latent_dim].float()
    mean = pca.mean.float()

    def parts() -> Iterator[Tensor]:
        for part in images.split(CHUNK_SIZE):
            scores = (to_float(part).flatten(1) - mean) @ basis.T
            yield _to_images(mean + scores @ basis, images)

    return torch.cat(list(parts()))


def gaussian_samples(pca: PCA, like: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw from the full-covariance Gaussian of the training images; uint8 [count, C, H, W].

    `like` [N, C, H, W] has the images' shape and device.
    """
    scaled = pca.components.float() * pca.explained_variance.sqrt().float()[:, None]
    mean = pca.mean.float()

    def parts() -> Iterator[Tensor]:
        for size in _chunk_sizes(count):
            eps = torch.randn(size, len(mean), generator=generator).to(like.device)
            yield _to_images(mean + eps @ scaled, like)

    return torch.cat(list(parts()))


def _chunk_sizes(count: int) -> list[int]:
    whole, rest = divmod(count, CHUNK_SIZE)
    return [CHUNK_SIZE] * whole + ([rest] if rest else [])


def _to_images(pixels: Tensor, like: Tensor) -> Tensor:
    """Round pixels [N, D] to uint8 images of the shape and on the device of `like`."""
    rounded = torch.from_numpy(to_uint8(pixels.cpu().numpy()))
    return rounded.unflatten(1, like.shape[1:]).to(like.device)
