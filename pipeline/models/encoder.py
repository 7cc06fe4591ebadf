"""The encoder: from images to the posterior's moments."""

import math

import torch
from torch import Tensor, nn

from pipeline.models.layers import Block, linear_fp32, make_encoder_body
from pipeline.models.posterior import Posterior


class ConvEncoder(nn.Module):
    """Strided convolutions and a linear map to mu and logvar.

    With a `linear_path` a linear map of the pixels is added to mu. A `fixed_posterior_variance`
    takes the place of the encoder's variances (CV-VAE, Ghosh et al. 2020, sec. 2).
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        latent_dim: int,
        channels: list[int],
        block: Block,
        linear_path: bool,
        fixed_posterior_variance: float | None,
    ) -> None:
        super().__init__()
        side = image_shape[1] >> len(channels)
        self.fixed_posterior_variance = fixed_posterior_variance
        self.body = make_encoder_body(image_shape[0], channels, block)
        self.to_moments = nn.Linear(channels[-1] * side * side, 2 * latent_dim)
        pixels = math.prod(image_shape)
        self.linear = nn.Linear(pixels, latent_dim) if linear_path else None

    def forward(self, images: Tensor) -> Posterior:
        """Encode images [B, C, H, W] in [0, 1], which the convolutions see in [-1, 1]."""
        features = self.body(2 * images - 1).flatten(1)
        mu, logvar = self.to_moments(features).float().chunk(2, dim=1)
        if self.fixed_posterior_variance is not None:
            logvar = torch.full_like(logvar, math.log(self.fixed_posterior_variance))
        if self.linear is not None:
            mu = mu + linear_fp32(self.linear, images.flatten(1))
        return Posterior(mu, logvar)
