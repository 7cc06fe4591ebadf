"""Convolutions by patches against PyTorch's own, values and gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.models import strided_conv
from pipeline.models.strided_conv import IM2COL_MAX_SIDE, Downsample, Upsample

CASES = [
    (Downsample, nn.Conv2d, IM2COL_MAX_SIDE),
    (Upsample, nn.ConvTranspose2d, IM2COL_MAX_SIDE // 2),
    (Downsample, nn.Conv2d, 2 * IM2COL_MAX_SIDE),
    (Upsample, nn.ConvTranspose2d, IM2COL_MAX_SIDE),
]


@pytest.mark.parametrize(("ours", "torchs", "side"), CASES)
def test_the_same_as_torch(ours: type[nn.Module], torchs: type[nn.Module], side: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 5, side, side, dtype=torch.float64)
    mine = ours(5, 7).double()
    reference = torchs(5, 7, 4, stride=2, padding=1).double()
    reference.load_state_dict(mine.state_dict())
    results = []
    for layer in (mine, reference):
        x = images.clone().requires_grad_()
        y = layer(x)
        y.square().sum().backward()
        results.append([y, x.grad, layer.weight.grad, layer.bias.grad])
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted)


def test_gradients_by_finite_differences() -> None:
    for layer, side in ((Downsample(2, 3).double(), 4), (Upsample(2, 3).double(), 2)):
        x = torch.randn(2, 2, side, side, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer, x)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=["fp32", "bf16"]
)
def test_upsampling_is_the_transposed_convolution_whatever_the_layout(
    dtype: torch.dtype, tolerance: float, memory_format: torch.memory_format
) -> None:
    """The product needs contiguous pixels, which it makes of either layout of its input."""
    torch.manual_seed(0)
    layer = Upsample(64, 32)
    side = IM2COL_MAX_SIDE // 2
    x = torch.randn(8, 64, side, side).to(memory_format=memory_format)
    # What bf16 rounds is the same on both sides: inputs and weights, as autocast has them.
    x, weight, bias = (part.to(dtype).float() for part in (x, layer.weight, layer.bias))
    expected = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        got = layer(x).float()
    assert got.shape == (8, 32, 2 * side, 2 * side)
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def test_the_product_of_patches_gets_contiguous_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not contiguous is multiplied in batches, seven times slower in bf16."""
    seen = []
    linear = functional.linear

    def watched(x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        seen.append(x.is_contiguous())
        return linear(x, *rest)

    monkeypatch.setattr(strided_conv.functional, "linear", watched)
    side = IM2COL_MAX_SIDE // 2
    Upsample(5, 7)(torch.randn(3, 5, side, side))
    Upsample(5, 7)(torch.randn(3, 5, side, side).to(memory_format=torch.channels_last))
    Downsample(5, 7)(torch.randn(3, 5, 2 * side, 2 * side))
    assert seen == [True, True, True]
