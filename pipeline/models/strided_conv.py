"""Strided 4x4 convolutions; the smallest as one matrix product of patches, faster on CPUs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Up to this side of the larger image: 8.5 ms became 5.3 for 128 -> 256 channels, batch 64, bf16
# on one AVX-512 core.
IM2COL_MAX_SIDE = 4


def use_im2col(x: Tensor, side: int) -> bool:
    """Tell whether the product of patches is faster; compilers and GPUs have better ways."""
    small = side <= IM2COL_MAX_SIDE
    return small and x.device.type == "cpu" and not torch.compiler.is_compiling()


def im2col(images: Tensor) -> Tensor:
    """Gather the 4x4 patches, 2 apart, of images [B, C, H, W] with a border of one zero.

    Returns [B, H/2, W/2, 4, 4, C].
    """
    padded = functional.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 4, 2).unfold(2, 4, 2)
    return windows.permute(0, 1, 2, 4, 5, 3).contiguous()


def col2im(patches: Tensor) -> Tensor:
    """Lay patches [B, H/2, W/2, 4, 4, C] where `im2col` takes them from, overlaps summed.

    Returns [B, C, H, W].
    """
    batch, rows, columns, _, _, channels = patches.shape
    split = patches.view(batch, rows, columns, 2, 2, 2, 2, channels)
    quarters = split.permute(0, 3, 5, 1, 4, 2, 6, 7)
    padded = patches.new_zeros(batch, rows + 1, 2, columns + 1, 2, channels)
    for top in range(2):
        for left in range(2):
            padded[:, top : top + rows, :, left : left + columns] += quarters[:, top, left]
    whole = padded.view(batch, 2 * rows + 2, 2 * columns + 2, channels)
    return whole[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


class Im2Col(torch.autograd.Function):
    """`im2col`; being linear, its gradient is its adjoint."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return im2col(images)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return col2im(gradient)


class Col2Im(torch.autograd.Function):
    """`col2im`, the adjoint of `Im2Col`."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor) -> Tensor:
        return col2im(patches)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return im2col(gradient)


class Downsample(nn.Conv2d):
    """The 4x4 convolution that halves the sides of [B, C, H, W]."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if not use_im2col(x, x.shape[-1]):
            return super().forward(x)
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        patches = Im2Col.apply(x).flatten(3)
        return functional.linear(patches, weight, self.bias).permute(0, 3, 1, 2)


class Upsample(nn.ConvTranspose2d):
    """The 4x4 transposed convolution that doubles the sides of [B, C, H, W]."""

    bias: nn.Parameter

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 4, stride=2, padding=1)

    # Without the output size that nobody here asks for.
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if not use_im2col(x, 2 * x.shape[-1]):
            return super().forward(x)
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        # A product of what is not contiguous is batched, in bf16 seven times slower.
        pixels = x.permute(0, 2, 3, 1).contiguous()
        patches = functional.linear(pixels, weight).unflatten(3, (4, 4, self.out_channels))
        return Col2Im.apply(patches) + self.bias[:, None, None]
