"""A decoder as the layers that templates/explorer_decoder.js computes.

A page has a pixel's channels beside each other, PyTorch a channel's pixels. The layout is changed
here, so that the page's loops run over numbers that lie side by side.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.models.decoders import ConvDecoder, RefinedLinearDecoder
from pipeline.models.layers import ConvBlock, ResBlock
from pipeline.models.vae import VAE
from pipeline.report.explorer.packing import Rounded

# What has weights, in PyTorch's types.
Weighted = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
RoundedOf = Callable[[Weighted], Rounded]


@dataclass(frozen=True)
class Layer:
    """One step of a decoder: its name in the page, rounded weights and biases if it has any."""

    name: str
    weight: Rounded | None = None
    bias: Tensor | None = None
    options: dict[str, Any] = field(default_factory=dict)
    body: tuple["Layer", ...] = ()
    """Of `add`: what is computed of x and added to it."""

    def describe(self) -> dict[str, Any]:
        """Return what the page's JSON says of the layer; the numbers are packed apart."""
        description = {"name": self.name, **self.options}
        if self.weight is not None:
            description |= {"rows": len(self.weight.values), "size": self.weight.values.shape[1]}
        if self.body:
            description["body"] = [layer.describe() for layer in self.body]
        return description

    def pack(self) -> bytes:
        """Return weights and biases in the order in which the page reads them."""
        own = b"" if self.weight is None or self.bias is None else self._numbers()
        return own + b"".join(layer.pack() for layer in self.body)

    def _numbers(self) -> bytes:
        assert self.weight is not None
        assert self.bias is not None
        return self.weight.pack() + self.bias.detach().float().numpy().astype("<f4").tobytes()


def weighted_modules(model: VAE) -> dict[str, Weighted]:
    """Return the decoder's modules with weights by their names in it."""
    named = model.decoder.named_modules()
    return {name: module for name, module in named if isinstance(module, Weighted)}


def layers_of(model: VAE, rounded: RoundedOf) -> list[Layer]:
    """Return the layers from z [latent_dim] to pixels in [0, 1]; `rounded` gives their weights.

    Raises TypeError for a decoder or a module that the page cannot compute.
    """
    decoder = model.decoder
    if isinstance(decoder, ConvDecoder):
        layers = [_linear(decoder.from_latent, decoder.feature_shape, rounded)]
        layers += _walk(decoder.body, rounded)
    elif isinstance(decoder, RefinedLinearDecoder):
        refiner = decoder.refiner
        body = [
            Layer("center"),
            Layer("unshuffle"),
            *_walk(refiner.body, rounded),
            *_walk(refiner.last, rounded),
            Layer("shuffle"),
        ]
        layers = [_linear(decoder.linear, decoder.image_shape, rounded)]
        layers.append(Layer("add", body=tuple(body)))
    else:
        raise TypeError(f"no page computes a {type(decoder).__name__}")
    return [*layers, Layer("clamp" if model.likelihood == "gaussian" else "sigmoid")]


def _walk(module: nn.Module, rounded: RoundedOf) -> Iterator[Layer]:
    match module:
        case nn.Identity():
            pass
        case nn.Sequential():
            for inner in module:
                yield from _walk(inner, rounded)
        case nn.ReLU():
            yield Layer("relu")
        case nn.SiLU():
            yield Layer("silu")
        case ConvBlock() | ResBlock():
            yield Layer("add", body=tuple(_walk(module.body, rounded)))
        case nn.ConvTranspose2d():
            yield Layer("up", _by_parity(rounded(module)), module.bias)
        case nn.Conv2d():
            # [outputs, inputs, row, column] -> [outputs, row, column, inputs].
            weight = rounded(module).map(lambda values: values.permute(0, 2, 3, 1).flatten(1))
            yield Layer("conv", weight, module.bias, {"window": module.kernel_size[0]})
        case _:
            raise TypeError(f"no page computes a {type(module).__name__}")


def _linear(module: nn.Linear, shape: tuple[int, ...], rounded: RoundedOf) -> Layer:
    """Let a row be what one dimension of z adds to the image [H, W, C]."""

    def pixel_by_pixel(values: Tensor) -> Tensor:
        return values.unflatten(1, shape).permute(0, 2, 3, 1).flatten(1)

    options = {"channels": shape[0], "side": shape[1]}
    weight = rounded(module).map(pixel_by_pixel)
    return Layer("linear", weight, pixel_by_pixel(module.bias[None])[0], options)


def _by_parity(weight: Rounded) -> Rounded:
    """Split a transposed 4x4 convolution into four 2x2 ones, [outputs, inputs, 4, 4] to rows.

    A pixel of an even row is made of the input's row above (by the kernel's row 3) and its own
    (by 1), one of an odd row of its own (by 2) and the one below (by 0); columns likewise. Rows are
    those of the outputs for even-even pixels, then even-odd, odd-even and odd-odd ones.
    """

    def split(values: Tensor) -> Tensor:
        taps = torch.tensor([[3, 1], [2, 0]])
        parts = [
            values[:, :, rows][..., columns].permute(0, 2, 3, 1).flatten(1)
            for rows in taps
            for columns in taps
        ]
        return torch.cat(parts)

    return Rounded(split(weight.values), weight.scale.repeat(4), weight.wide.repeat(4))
