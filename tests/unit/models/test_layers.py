"""The initial weights keep the signal, and blocks start as the identity."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.models.layers import (
    Block,
    ConvBlock,
    ResBlock,
    fan_in,
    init_weights,
    make_decoder_body,
    make_encoder_body,
)
from pipeline.models.strided_conv import Upsample

CHANNELS = [32, 64, 128, 256]


def drawn(model: nn.Module) -> nn.Module:
    init_weights(model, torch.Generator().manual_seed(0))
    return model


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def input_share(out: Tensor) -> float:
    """Share of the outputs' second moment that differs between the inputs, [B, ...]."""
    return float(out.flatten(1).var(0).sum() / out.flatten(1).square().mean(0).sum())


def test_fan_in_of_a_transposed_convolution_counts_what_one_output_sums() -> None:
    layer = Upsample(5, 3)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.zero_()
    assert layer(torch.ones(1, 5, 8, 8))[0, 0, 8, 8] == fan_in(layer) == 5 * 4


@pytest.mark.parametrize("block_class", [ConvBlock, ResBlock])
def test_a_block_starts_as_the_identity_and_learns(block_class: type[ConvBlock | ResBlock]) -> None:
    block = drawn(block_class(16))
    x = noise(2, 16, 4, 4)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    *_, last = block.body
    assert last.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("block", ["none", "conv", "residual"])
def test_the_second_moment_survives_each_layer(block: Block) -> None:
    """In the middle of a wide image, away from the zeros around it, and within sampling error."""
    decoder = drawn(make_decoder_body(3, CHANNELS, block))
    x = noise(16, 256, 16, 16)
    moments = []
    with torch.no_grad():
        for layer in decoder[:-1]:
            x = layer(x)
            if isinstance(layer, Upsample):
                moments.append(float(x[..., 8:-8, 8:-8].square().mean()))
    # Behind a ReLU the gain of 2 gives back the half that it took.
    assert moments == pytest.approx([1.0] * 3, rel=0.25)


@pytest.mark.parametrize("block", ["conv", "residual"])
def test_a_trunk_without_activations_starts_linear_and_tells_codes_apart(block: Block) -> None:
    encoder = drawn(make_encoder_body(3, CHANNELS, block))
    plain = drawn(make_encoder_body(3, CHANNELS, "none"))
    x = noise(64, 3, 1, 1).expand(-1, -1, 32, 32) + 0.3 * noise(64, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(encoder(2 * x), 2 * encoder(x), atol=1e-4)
        assert input_share(encoder(x)) > 0.9 > input_share(plain(x))


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(0)
    first = drawn(make_encoder_body(3, CHANNELS, "residual"))
    torch.manual_seed(1)
    second = drawn(make_encoder_body(3, CHANNELS, "residual"))
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
