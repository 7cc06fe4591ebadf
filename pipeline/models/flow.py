"""A decoder that is a flow: p(x|z) as a velocity from noise to images, learned by flow matching.

With images x in [-1, 1], noise e ~ N(0, I) and x_t = (1 - t) e + t x, the velocity dx_t/dt of the
flow whose samples are those of p(x|z) is E[x - e | x_t, z] (Lipman et al. 2023, sec. 4; Liu et al.
2023). Were p(x|z) a Gaussian around a linear image l of z, with one variance s^2, it would be

    velocity = ((1 - t) l + (t s^2 - (1 - t)) x_t) / D,    D = (1 - t)^2 + t^2 s^2,

and p(x|z) starts as that: probabilistic PCA. A network adds what it lacks, in units of the standard
deviation s / sqrt(D) of what is not known at t (as Karras et al. 2022, sec. 5, precondition a
denoiser around zero). The loss is no likelihood, and none is claimed.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.layers import ZeroConv2d, ZeroLinear, conv3x3, linear_fp32
from pipeline.models.multistep import integrate
from pipeline.models.strided_conv import Downsample, Upsample

PATCH = 2
GROUPS = 8
HEAD_WIDTH = 32
NUM_FREQUENCIES = 32
# Evaluations of the network for one image.
NUM_STEPS = 10


class FlowDecoder(nn.Module):
    """A U-Net on 2x2 patches and one more halving, told t and z.

    z comes in three times: with t, scaling and shifting each block (FiLM, Perez et al. 2018); as a
    map at the lowest resolution; and as the linear image, started from PCA (models/pca.py), that
    the network sees beside x_t. Buffer `residual_variance`: s^2, of pixels in [-1, 1].
    """

    residual_variance: Tensor

    def __init__(
        self, image_shape: tuple[int, ...], latent_dim: int, channels: int, num_blocks: int
    ) -> None:
        super().__init__()
        image_channels, height, width = image_shape
        self.image_shape = image_shape
        patches, embedding = image_channels * PATCH**2, 4 * channels
        self.map_shape = (2 * channels, height // (2 * PATCH), width // (2 * PATCH))
        self.register_buffer("residual_variance", torch.ones(()))
        self.linear = nn.Linear(latent_dim, math.prod(image_shape))
        self.embed_time = nn.Linear(2 * NUM_FREQUENCIES, embedding)
        self.embed_z = nn.Linear(latent_dim, embedding)
        self.map_z = nn.Linear(latent_dim, math.prod(self.map_shape))

        def blocks(width_in: int, width_out: int) -> nn.ModuleList:
            widths = [width_in] + [width_out] * (num_blocks - 1)
            return nn.ModuleList([FiLMBlock(w, width_out, embedding) for w in widths])

        self.first = conv3x3(2 * patches, channels)
        self.high = blocks(channels, channels)
        self.downsample = Downsample(channels, 2 * channels)
        self.low = blocks(2 * channels, 2 * channels)
        self.attention = SelfAttention(2 * channels)
        self.low_again = blocks(2 * channels, 2 * channels)
        self.upsample = Upsample(2 * channels, channels)
        self.high_again = blocks(2 * channels, channels)
        self.last = nn.Sequential(
            group_norm(channels), nn.SiLU(), ZeroConv2d(channels, patches, 3, padding=1)
        )

    def forward(self, z: Tensor, images: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return by how much the predicted velocity is wrong, [B, C, H, W].

        z [B, latent_dim], images [B, C, H, W] in [0, 1], noise [B, C, H, W], time [B] in (0, 1).
        """
        x = 2 * images - 1
        x_t = torch.lerp(noise, x, time[:, None, None, None])
        return self._velocity(x_t, time, z, self._linear_image(z)) - (x - noise)

    def sample(self, z: Tensor, noise: Tensor, num_steps: int = NUM_STEPS) -> Tensor:
        """Turn noise [B, C, H, W] into samples of p(x|z), [B, C, H, W] in [0, 1]."""
        linear_image = self._linear_image(z)

        def velocity(x_t: Tensor, t: float) -> Tensor:
            time = torch.full_like(z[:, 0], t, dtype=torch.float32)
            return self._velocity(x_t, time, z, linear_image)

        return (0.5 + 0.5 * integrate(velocity, noise, num_steps)).clamp(0, 1)

    def mean(self, z: Tensor, noise: Tensor) -> Tensor:
        """Return the mean of p(x|z), [B, C, H, W] in [0, 1].

        At t = 0, where x_t is noise [B, C, H, W] alone, the velocity is E[x|z] - noise.
        """
        time = torch.zeros_like(z[:, 0], dtype=torch.float32)
        mean = noise + self._velocity(noise, time, z, self._linear_image(z))
        return (0.5 + 0.5 * mean).clamp(0, 1)

    def _linear_image(self, z: Tensor) -> Tensor:
        return 2 * linear_fp32(self.linear, z).unflatten(1, self.image_shape) - 1

    def _velocity(self, x_t: Tensor, time: Tensor, z: Tensor, linear_image: Tensor) -> Tensor:
        """Return the velocity [B, C, H, W] at x_t, float32."""
        t, variance = time[:, None, None, None], self.residual_variance
        scale = (1 - t).square() + t.square() * variance
        gaussian = ((1 - t) * linear_image + (t * variance - (1 - t)) * x_t) / scale
        return gaussian + (variance / scale).sqrt() * self._network(x_t, time, z, linear_image)

    def _network(self, x_t: Tensor, time: Tensor, z: Tensor, linear_image: Tensor) -> Tensor:
        """Return what the Gaussian lacks, [B, C, H, W], float32; zero before training."""
        told = functional.silu(self.embed_time(frequencies(time)) + self.embed_z(z))
        patches = functional.pixel_unshuffle(torch.cat([x_t, linear_image], 1), PATCH)
        h = self.first(patches.contiguous(memory_format=torch.channels_last))

        # Down.
        for block in self.high:
            h = block(h, told)
        skip, h = h, self.downsample(h) + self.map_z(z).unflatten(1, self.map_shape)
        for block in self.low:
            h = block(h, told)
        h = self.attention(h)

        # Up.
        for block in self.low_again:
            h = block(h, told)
        h = torch.cat([self.upsample(h), skip], 1)
        for block in self.high_again:
            h = block(h, told)
        return functional.pixel_shuffle(self.last(h).float(), PATCH)


class FiLMBlock(nn.Module):
    """A residual block of two 3x3 convolutions, scaled and shifted by what it is told.

    [B, width_in, H, W] to [B, width_out, H, W], with `told` [B, E] (Dhariwal & Nichol 2021, sec.
    3).
    """

    def __init__(self, width_in: int, width_out: int, told: int) -> None:
        super().__init__()
        self.norm = group_norm(width_in)
        self.conv = conv3x3(width_in, width_out)
        self.film = ZeroLinear(told, 2 * width_out)
        self.norm_told = group_norm(width_out)
        self.last = ZeroConv2d(width_out, width_out, 3, padding=1)
        same = width_in == width_out
        self.skip = nn.Identity() if same else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.conv(functional.silu(self.norm(x)))
        scale, shift = self.film(told)[:, :, None, None].chunk(2, dim=1)
        h = functional.silu(self.norm_told(h) * (1 + scale) + shift)
        return self.skip(x) + self.last(h)


class SelfAttention(nn.Module):
    """Every place of [B, width, H, W] looks at all others (Vaswani et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD_WIDTH)
        self.norm = group_norm(width)
        self.to_qkv = nn.Conv2d(width, 3 * width, 1)
        self.last = ZeroLinear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2)
        q, k, v = tokens.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.last(seen).transpose(1, 2).unflatten(2, x.shape[2:])


def group_norm(width: int) -> nn.GroupNorm:
    """Make the normalization of GROUPS groups of channels (Wu & He 2018)."""
    return nn.GroupNorm(GROUPS, width)


def frequencies(time: Tensor) -> Tensor:
    """Return sines and cosines of time [B] in [0, 1], [B, 2 NUM_FREQUENCIES].

    From half a turn on, each frequency 1.2 times the one before.
    """
    powers = torch.arange(NUM_FREQUENCIES, device=time.device, dtype=time.dtype)
    angles = time[:, None] * math.pi * 1.2**powers
    return torch.cat([angles.sin(), angles.cos()], 1)
