"""The variational autoencoder (Kingma & Welling 2014): q(z|x) = N(mu, diag exp logvar), p(z) = N(0, I)."""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.layers import Block, Refiner, make_decoder, make_encoder

Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian"]
Covariance = Literal["isotropic", "local"]
# Local noise is a map of this side, interpolated to the image, read from z by one hidden layer.
NOISE_SIDE, NOISE_HIDDEN = 8, 256


class VAEOutput(NamedTuple):
    """One pass: the decoder's output [B, C, H, W], the posterior's mu and logvar [B, latent_dim], and `log_scale`."""

    decoded: Tensor
    mu: Tensor
    logvar: Tensor
    log_scale: Tensor | None = None


class VAE(nn.Module):
    """A convolutional VAE with a flat latent vector.

    The decoder's output parametrises p(x|z) for pixels in [0, 1]: logits for the Bernoulli likelihoods, the mean
    for "gaussian". Its covariance is exp(log_variance) for all pixel-channels ("isotropic"), or that of the
    colours of a pixel, `colour` [C, C], times exp(log_scale) where z says so ("local"). Both are kept with the weights.

    With `refinement` widths the model has a linear path: a linear map of the pixels is added to mu, and the decoder
    is a linear map of z whose image 3x3 convolutions of these widths refine; else it mirrors the encoder.
    A `posterior_variance` replaces the encoder's variances by one constant.
    """

    log_variance: Tensor
    colour: Tensor

    def __init__(
        self,
        image_shape: list[int],
        latent_dim: int,
        channels: list[int],
        likelihood: Likelihood,
        block: Block = "plain",
        refinement: list[int] | None = None,
        covariance: Covariance = "isotropic",
        posterior_variance: float | None = None,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "image_shape": image_shape,
            "latent_dim": latent_dim,
            "channels": channels,
            "likelihood": likelihood,
            "block": block,
            "refinement": refinement,
            "covariance": covariance,
            "posterior_variance": posterior_variance,
        }
        self.image_shape, self.latent_dim, self.likelihood = tuple(image_shape), latent_dim, likelihood
        self.posterior_variance = posterior_variance
        side = image_shape[1] >> len(channels)
        self.code_shape = (channels[-1], side, side)
        features, pixels = channels[-1] * side * side, math.prod(image_shape)
        self.encoder = make_encoder(image_shape[0], channels, block)
        self.posterior = nn.Linear(features, 2 * latent_dim)
        self.linear_path = refinement is not None
        if refinement is None:
            self.expand = nn.Linear(latent_dim, features)
            self.decoder = make_decoder(image_shape[0], channels, block)
        else:
            self.project, self.restore = nn.Linear(pixels, latent_dim), nn.Linear(latent_dim, pixels)
            self.refine = Refiner(image_shape[0], refinement)
        self.register_buffer("log_variance", torch.zeros(()))
        self.local = make_log_scale_head(latent_dim) if covariance == "local" else None
        self.register_buffer("colour", torch.eye(image_shape[0]))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] in [0, 1] (the network sees them in [-1, 1]) to mu, logvar [B, latent_dim]."""
        mu, logvar = self.posterior(self.encoder(2 * images - 1).flatten(1)).float().chunk(2, dim=1)
        if self.posterior_variance is not None:
            logvar = torch.full_like(logvar, math.log(self.posterior_variance))
        return (mu + linear_fp32(self.project, images.flatten(1)) if self.linear_path else mu), logvar

    def decode(self, z: Tensor) -> Tensor:
        """Codes [B, latent_dim] to the parameters of p(x|z) [B, C, H, W]: logits or means."""
        if not self.linear_path:
            return self.decoder(self.expand(z).unflatten(1, self.code_shape)).float()
        image = linear_fp32(self.restore, z).unflatten(1, self.image_shape)
        return image + self.refine(image).float()

    def log_scale(self, z: Tensor) -> Tensor | None:
        """Log of how much stronger the noise is than on average, [B, 1, H, W]; None for isotropic noise."""
        if self.local is None:
            return None
        coarse = self.local(z).float().unflatten(1, (1, NOISE_SIDE, NOISE_SIDE))
        return functional.interpolate(coarse, size=self.image_shape[1:], mode="bilinear")

    def to_pixels(self, decoded: Tensor) -> Tensor:
        """The predicted pixels in [0, 1] from the decoder's output.

        For the continuous Bernoulli it is the parameter lambda and not the distribution's mean, which is drawn
        towards 1/2 (Loaiza-Ganem & Cunningham 2019, sec. 4, and their samples).
        """
        return decoded.clamp(0, 1) if self.likelihood == "gaussian" else decoded.sigmoid()

    def forward(self, images: Tensor, noise: Tensor) -> VAEOutput:
        """Encode, reparametrise with the given standard normal noise [B, latent_dim], decode.

        The noise map learns from z without a say in what z is.
        """
        mu, logvar = self.encode(images)
        z = mu + torch.exp(0.5 * logvar) * noise
        return VAEOutput(self.decode(z), mu, logvar, self.log_scale(z.detach()))


def linear_fp32(linear: nn.Linear, x: Tensor) -> Tensor:
    """A linear map in float32: bfloat16 would round the strongest components by more than the posterior's width."""
    with torch.autocast(x.device.type, enabled=False):
        return linear(x.float())


def make_log_scale_head(latent_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(latent_dim, NOISE_HIDDEN), nn.ReLU(), nn.Linear(NOISE_HIDDEN, NOISE_SIDE * NOISE_SIDE)
    )
