"""Numbers as a page holds them: rounded to 8 bits or to 16, deflated, in base64."""

import base64
import zlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

NARROW = 127
WIDE = 32_767


class Rounded(NamedTuple):
    """Whole numbers [rows, size], a scale for each row, and which rows need 16 bits."""

    values: Tensor
    scale: Tensor
    wide: Tensor

    def map(self, layout: Callable[[Tensor], Tensor]) -> "Rounded":
        """Lay the numbers of each row out otherwise."""
        return self._replace(values=layout(self.values))

    def restore(self) -> Tensor:
        """Return the numbers that the page computes with, float32, as `values` is laid out."""
        shape = (-1, *[1] * (self.values.dim() - 1))
        return self.values.float() * self.scale.view(shape)

    def pack(self) -> bytes:
        """Return scales, widths and rows [rows, size] as little-endian bytes."""
        rows = [
            row.astype("<i2" if wide else "<i1").tobytes()
            for row, wide in zip(self.values.numpy(), self.wide.tolist(), strict=True)
        ]
        scale = self.scale.numpy().astype("<f4").tobytes()
        return scale + self.wide.numpy().astype("<u1").tobytes() + b"".join(rows)


def round_rows(rows: Tensor, wide: Tensor) -> Rounded:
    """Round rows [rows, ...], each to multiples of its own step; `wide` [rows] get 16 bits."""
    rows = rows.detach().float()
    levels = torch.where(wide, WIDE, NARROW)
    greatest = rows.flatten(1).abs().amax(1)
    # A row of zeros has any scale.
    scale = torch.where(greatest > 0, greatest, 1.0) / levels
    shape = (-1, *[1] * (rows.dim() - 1))
    return Rounded((rows / scale.view(shape)).round().to(torch.int32), scale, wide)


def as_text(numbers: bytes) -> str:
    """Return bytes as the page reads them."""
    return base64.b64encode(zlib.compress(numbers, level=9)).decode()
