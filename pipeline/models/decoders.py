"""Decoders: from z to the parameters of p(x|z), each a class of its own."""

import math

from torch import Tensor, nn

from pipeline.models.layers import Block, Refiner, linear_fp32, make_decoder_body


class ConvDecoder(nn.Module):
    """A linear map of z to the smallest feature map, then the encoder mirrored."""

    def __init__(
        self, image_shape: tuple[int, ...], latent_dim: int, channels: list[int], block: Block
    ) -> None:
        super().__init__()
        side = image_shape[1] >> len(channels)
        self.feature_shape = (channels[-1], side, side)
        self.from_latent = nn.Linear(latent_dim, math.prod(self.feature_shape))
        self.body = make_decoder_body(image_shape[0], channels, block)

    def forward(self, z: Tensor) -> Tensor:
        """Decode z [B, latent_dim] to [B, C, H, W], float32."""
        features = self.from_latent(z).unflatten(1, self.feature_shape)
        return self.body(features).float()


class RefinedLinearDecoder(nn.Module):
    """A linear map of z to an image, to which convolutions add what it lacks.

    Started from PCA (models/pca.py) the linear map is probabilistic PCA's.
    """

    def __init__(
        self, image_shape: tuple[int, ...], latent_dim: int, refiner_channels: list[int]
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.linear = nn.Linear(latent_dim, math.prod(image_shape))
        self.refiner = Refiner(image_shape[0], refiner_channels)

    def forward(self, z: Tensor) -> Tensor:
        """Decode z [B, latent_dim] to [B, C, H, W], float32."""
        image = linear_fp32(self.linear, z).unflatten(1, self.image_shape)
        return image + self.refiner(image).float()
