"""The variational autoencoder (Kingma & Welling 2014): q(z|x) = N(mu, diag exp logvar), p(z) = N(0, I)."""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.model.blocks import decoder_body, encoder_body

Likelihood = Literal["bernoulli", "gaussian"]


class Output(NamedTuple):
    """One pass: the decoder's output [B, C, H, W], and the posterior's mu and logvar [B, latent_dim]."""

    decoded: Tensor
    mu: Tensor
    logvar: Tensor


class VAE(nn.Module):
    """A convolutional VAE with a flat latent vector.

    The decoder's output parametrises p(x|z) for pixels in [0, 1]: logits for "bernoulli", the mean for
    "gaussian", whose variance exp(log_variance) is one number for all pixels, kept with the weights.
    With `linear_path` a linear map of the pixels is added to mu, and one of z to the decoder's output.
    """

    log_variance: Tensor

    def __init__(
        self,
        image_shape: list[int],
        latent_dim: int,
        channels: list[int],
        likelihood: Likelihood,
        linear_path: bool = False,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "image_shape": image_shape,
            "latent_dim": latent_dim,
            "channels": channels,
            "likelihood": likelihood,
            "linear_path": linear_path,
        }
        self.image_shape, self.latent_dim, self.likelihood = tuple(image_shape), latent_dim, likelihood
        side = image_shape[1] >> len(channels)
        self.code_shape = (channels[-1], side, side)
        features = channels[-1] * side * side
        self.encoder = encoder_body(image_shape[0], channels)
        self.posterior = nn.Linear(features, 2 * latent_dim)
        self.expand = nn.Linear(latent_dim, features)
        self.decoder = decoder_body(image_shape[0], channels)
        pixels = math.prod(image_shape)
        self.project = nn.Linear(pixels, latent_dim) if linear_path else None
        self.restore = nn.Linear(latent_dim, pixels) if linear_path else None
        self.register_buffer("log_variance", torch.zeros(()))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] in [0, 1] (the network sees them in [-1, 1]) to mu, logvar [B, latent_dim]."""
        mu, logvar = self.posterior(self.encoder(2 * images - 1).flatten(1)).float().chunk(2, dim=1)
        return (mu if self.project is None else mu + self.project(images.flatten(1))), logvar

    def decode(self, z: Tensor) -> Tensor:
        """Codes [B, latent_dim] to the parameters of p(x|z) [B, C, H, W]: logits or means."""
        decoded = self.decoder(self.expand(z).unflatten(1, self.code_shape)).float()
        return decoded if self.restore is None else decoded + self.restore(z).unflatten(1, self.image_shape)

    def pixel_means(self, decoded: Tensor) -> Tensor:
        """The mean of p(x|z) in [0, 1] from the decoder's output."""
        return decoded.sigmoid() if self.likelihood == "bernoulli" else decoded.clamp(0, 1)

    def forward(self, images: Tensor, noise: Tensor) -> Output:
        """Encode, reparametrise with the given standard normal noise [B, latent_dim], decode."""
        mu, logvar = self.encode(images)
        return Output(self.decode(mu + torch.exp(0.5 * logvar) * noise), mu, logvar)
