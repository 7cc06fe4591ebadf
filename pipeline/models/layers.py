"""The convolutional bodies that models are built of, and the drawing of initial weights."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.strided_conv import Downsample, Upsample

Block = Literal["none", "conv", "residual"]


class ResBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))) at one resolution.

    Full pre-activation (He et al. 2016b) without normalization.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(), conv3x3(width, width), nn.ReLU(), conv3x3(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def conv3x3(width_in: int, width_out: int) -> nn.Conv2d:
    """Make a 3x3 convolution that keeps the resolution."""
    return nn.Conv2d(width_in, width_out, 3, padding=1)


def make_block(width: int, block: Block) -> list[nn.Module]:
    """Make what follows each change of resolution."""
    if block == "residual":
        return [ResBlock(width)]
    if block == "conv":
        return [nn.ReLU(), conv3x3(width, width)]
    return []


def make_encoder_body(image_channels: int, channels: list[int], block: Block) -> nn.Sequential:
    """Make one stride-2 4x4 convolution and ReLU for each entry of `channels`.

    [B, C, H, W] -> [B, channels[-1], H / 2^n, W / 2^n].
    """
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise([image_channels, *channels]):
        layers.append(Downsample(width_in, width_out))
        layers += make_block(width_out, block)
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def make_decoder_body(image_channels: int, channels: list[int], block: Block) -> nn.Sequential:
    """Mirror the encoder with transposed convolutions; no activation after the last."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise([*reversed(channels), image_channels]):
        layers += make_block(width_in, block)
        layers += [nn.ReLU(), Upsample(width_in, width_out)]
    return nn.Sequential(*layers)


class Refiner(nn.Module):
    """What an image lacks, guessed from the image itself: 3x3 convolutions on its 2x2 patches.

    Patches become channels and back (Shi et al. 2016), so that the convolutions see far and run
    where they are cheap. The last one starts at zero: an untrained refiner adds nothing.
    """

    PATCH = 2

    def __init__(self, image_channels: int, widths: list[int]) -> None:
        super().__init__()
        patches = image_channels * self.PATCH**2
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise([patches, *widths]):
            layers += [conv3x3(width_in, width_out), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.last = conv3x3(widths[-1], patches)

    def forward(self, images: Tensor) -> Tensor:
        """Return the correction of images in [0, 1], both [B, C, H, W]."""
        patches = functional.pixel_unshuffle(2 * images - 1, self.PATCH)
        patches = patches.contiguous(memory_format=torch.channels_last)
        return functional.pixel_shuffle(self.last(self.body(patches)), self.PATCH)


def linear_fp32(linear: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear map in float32.

    bfloat16 would round the strongest components by more than the posterior's width.
    """
    with torch.autocast(x.device.type, enabled=False):
        return linear(x.float())


@torch.no_grad()
def init_weights(model: nn.Module, generator: torch.Generator) -> None:
    """Draw PyTorch's default initial weights from `generator` alone, not from the global state."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            if module.bias is not None:
                fan_in, _ = nn.init._calculate_fan_in_and_fan_out(module.weight)
                bound = 1 / math.sqrt(fan_in)
                module.bias.uniform_(-bound, bound, generator=generator)
