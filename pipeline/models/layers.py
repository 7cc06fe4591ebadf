"""The convolutional bodies that models are built of, and the drawing of initial weights.

A body is a trunk of strided convolutions that change the resolution. With block "none" a ReLU
follows each of them. With "conv" and "residual" the trunk has no activation of its own: all of them
lie in the branches that the blocks add to it (full pre-activation: He et al. 2016b, fig. 4e), and
the branches start at zero, so that an untrained body is a linear map. Different codes then give
different images from the first step on. A trunk of ReLUs makes them alike, the more the deeper it
is, whatever the scale of the weights (Schoenholz et al. 2017; docs/lab-notebook.md). "linear" is
the control: that trunk, and no activation anywhere.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.strided_conv import Downsample, Upsample

Block = Literal["none", "linear", "conv", "residual"]


class ZeroConv2d(nn.Conv2d):
    """Starts at zero: the branch that ends in it says nothing until it has learned to."""

    def reset_parameters(self) -> None:
        zero(self)


class ZeroLinear(nn.Linear):
    """Starts at zero, as ZeroConv2d does."""

    def reset_parameters(self) -> None:
        zero(self)


class ConvBlock(nn.Module):
    """One more convolution: x + conv3x3(silu(x)), [B, C, H, W] to the same.

    Its convolution starts at zero, hence the block as the identity (Zhang et al. 2019, Fixup,
    sec. 3; the idea of De & Smith 2020, SkipInit, without its scalar).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.SiLU(), ZeroConv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResBlock(nn.Module):
    """A bottleneck: x + 1x1(silu(3x3(silu(1x1(silu(x)))))), [B, C, H, W] to the same.

    The 3x3 convolution works at half the width (He et al. 2016a, sec. 4.1, fig. 5): under a fifth
    of the operations of two at full width. The last convolution starts at zero (Goyal et al. 2017,
    sec. 5.1, there the scale of the last normalization; Zhang et al. 2019, Fixup, sec. 3).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(8, width // 2)
        self.body = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(width, inner, 1),
            nn.SiLU(),
            conv3x3(inner, inner),
            nn.SiLU(),
            ZeroConv2d(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


# What stands on a trunk without activations.
BARE_TRUNK = (ConvBlock, ResBlock, nn.Identity)


def conv3x3(width_in: int, width_out: int) -> nn.Conv2d:
    """Make a 3x3 convolution that keeps the resolution."""
    return nn.Conv2d(width_in, width_out, 3, padding=1)


def make_block(width: int, block: Block) -> nn.Module:
    """Make what stands between two changes of resolution."""
    match block:
        case "none":
            return nn.ReLU()
        case "linear":
            return nn.Identity()
        case "conv":
            return ConvBlock(width)
        case "residual":
            return ResBlock(width)


def make_encoder_body(image_channels: int, channels: list[int], block: Block) -> nn.Sequential:
    """Make one stride-2 4x4 convolution and a block for each entry of `channels`.

    [B, C, H, W] -> [B, channels[-1], H / 2^n, W / 2^n].
    """
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise([image_channels, *channels]):
        layers += [Downsample(width_in, width_out), make_block(width_out, block)]
    return nn.Sequential(*layers)


def make_decoder_body(image_channels: int, channels: list[int], block: Block) -> nn.Sequential:
    """Mirror the encoder with transposed convolutions; no activation after the last."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise([*reversed(channels), image_channels]):
        layers += [make_block(width_in, block), Upsample(width_in, width_out)]
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
        self.last = ZeroConv2d(widths[-1], patches, 3, padding=1)

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
    """Draw every weight from N(0, gain / fan-in) by `generator` alone; biases are zero.

    The gain is 2 behind an activation, which halves the second moment (He et al. 2015, eq. 10), and
    1 on a trunk without any (LeCun et al. 1998, sec. 4.6). What starts at zero is zero.
    PyTorch's default has gain 1/3 in both cases: each layer shrinks the signal.
    """
    blocks = [module for module in model.modules() if isinstance(module, ConvBlock | ResBlock)]
    in_branch = {inner for outer in blocks for inner in outer.modules()}
    bare = any(isinstance(module, BARE_TRUNK) for module in model.modules())
    trunk_gain = 1.0 if bare else 2.0
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            gain = 2.0 if module in in_branch else trunk_gain
            deviation = math.sqrt(gain / fan_in(module))
            module.weight.normal_(0, deviation, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
            if isinstance(module, ZeroConv2d | ZeroLinear):
                zero(module)


def zero(layer: nn.Module) -> None:
    """Let a layer say nothing until it has learned to."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Count the inputs that one output sums; a stride spreads those of a transposed convolution."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * math.prod(layer.kernel_size) / math.prod(layer.stride)
    return layer.weight[0].numel()
