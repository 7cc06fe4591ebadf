"""Convolutions by patches against PyTorch's own, values and gradients."""

import pytest
import torch
from torch import nn

from pipeline.models.strided_conv import SMALL, Downsample, Upsample

CASES = [
    (Downsample, nn.Conv2d, SMALL),
    (Upsample, nn.ConvTranspose2d, SMALL // 2),
    (Downsample, nn.Conv2d, 2 * SMALL),
]


@pytest.mark.parametrize(("ours", "torchs", "side"), CASES)
def test_the_same_as_torch(ours: type[nn.Module], torchs: type[nn.Module], side: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 5, side, side, dtype=torch.float64)
    mine, reference = ours(5, 7).double(), torchs(5, 7, 4, stride=2, padding=1).double()
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
