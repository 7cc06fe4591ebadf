"""The convolutional encoder and decoder bodies, and the drawing of initial weights."""

import math
from itertools import pairwise

import torch
from torch import nn


def encoder_body(image_channels: int, channels: list[int]) -> nn.Sequential:
    """One stride-2 4x4 convolution and ReLU for each entry: [B, C, H, W] -> [B, channels[-1], H/2^n, W/2^n]."""
    layers: list[nn.Module] = []
    for width_in, width_out in zip([image_channels, *channels], channels, strict=False):
        layers += [nn.Conv2d(width_in, width_out, 4, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def decoder_body(image_channels: int, channels: list[int]) -> nn.Sequential:
    """The encoder mirrored with transposed convolutions; no activation after the last."""
    widths = [*reversed(channels), image_channels]
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.ReLU(), nn.ConvTranspose2d(width_in, width_out, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """PyTorch's default initial weights, drawn from `generator` alone instead of the global state."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            if module.bias is not None:
                bound = 1 / math.sqrt(nn.init._calculate_fan_in_and_fan_out(module.weight)[0])
                module.bias.uniform_(-bound, bound, generator=generator)
