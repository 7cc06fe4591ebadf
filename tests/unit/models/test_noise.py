"""The noise sums to one by enumeration, is a multivariate normal, and looks at no later pixel."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.evaluation import likelihood
from pipeline.evaluation.likelihood import discretized_gaussian_log_likelihood
from pipeline.models.noise import LOG_SCALE_SIDE, CausalNoise
from pipeline.training.losses import innovations_nll

LATENT_DIM = 4


def drawn(shape: tuple[int, int, int], reach: int, spread: float = 0.05) -> CausalNoise:
    """Noise with parameters of a drawn moment matrix: far from white, and of a strong ARCH part."""
    torch.manual_seed(1)
    made = CausalNoise(shape, LATENT_DIM, reach)
    mixed = torch.randn(len(made.moments), len(made.moments)) / math.sqrt(len(made.moments))
    made.moments.copy_(spread**2 * (mixed @ mixed.T + 0.3 * torch.eye(len(mixed))))
    return made


def log_likelihoods(made: CausalNoise, means: Tensor, images: Tensor, z: Tensor) -> Tensor:
    """log P of images [B, C, H, W], of one code z [1, latent_dim], in 64 bits."""
    scale = made.log_scale(z).expand(len(images), -1, -1, -1)
    innovations = made.innovations(images - means, scale)
    return discretized_gaussian_log_likelihood(innovations, images).double()


@pytest.mark.parametrize("size", [(1, 2), (2, 1)])
@pytest.mark.parametrize("mean", [0.02, 0.5, 1.1])
@pytest.mark.parametrize("spread", [0.004, 0.1])
@torch.no_grad()
def test_two_gray_pixels_sum_to_one_over_all_their_values(
    size: tuple[int, int], mean: float, spread: float
) -> None:
    made = drawn((1, *size), 3, spread)
    levels = torch.arange(256) / 255
    pairs = torch.cartesian_prod(levels, levels).reshape(-1, 1, *size)
    logs = log_likelihoods(made, torch.full((1, 1, *size), mean), pairs, torch.randn(1, LATENT_DIM))
    assert logs.exp().sum().item() == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("reach", [0, 1, 3])
@torch.no_grad()
def test_two_pixels_of_three_coarse_channels_sum_to_one(
    reach: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = torch.arange(6) / 5
    monkeypatch.setattr(likelihood, "HALF_STEP", 0.5 / 5)
    made = drawn((3, 1, 2), reach, 0.3)
    every = torch.tensor(list(itertools.product(range(6), repeat=6)))
    images = levels[every].reshape(-1, 2, 3).transpose(1, 2).unsqueeze(2)
    means = torch.rand(1, 3, 1, 2)
    logs = log_likelihoods(made, means, images, torch.randn(1, LATENT_DIM))
    assert logs.exp().sum().item() == pytest.approx(1, abs=2e-4)


@torch.no_grad()
def test_without_arch_it_is_a_multivariate_normal() -> None:
    """r = A r + D e has the covariance (I - A)^-1 D D' (I - A)^-T, D with the map of scales."""
    shape = (2, 4, 5)
    made = drawn(shape, 2)
    made.log_constant.zero_()
    made.log_weights.fill_(-100)
    count = math.prod(shape)
    scale = made.log_scale(torch.randn(1, LATENT_DIM))
    residuals = 0.1 * torch.randn(6, *shape)
    # A linear map's columns are its values at the unit vectors: the inverse root of the covariance.
    unit = torch.eye(count).reshape(count, *shape)
    whitening = made.innovations(unit, scale.expand(count, -1, -1, -1)).standardized.flatten(1).T
    root = torch.linalg.inv(whitening.double())
    normal = torch.distributions.MultivariateNormal(
        torch.zeros(count).double(), covariance_matrix=root @ root.T
    )
    found = innovations_nll(made.innovations(residuals, scale.expand(6, -1, -1, -1)))
    expected = -normal.log_prob(residuals.flatten(1).double())
    assert torch.allclose(found.double(), expected, rtol=1e-4)


@torch.no_grad()
def test_each_pixel_channel_depends_on_those_before_it_alone() -> None:
    """In raster order, channel by channel: whatever comes later changes nothing before it."""
    shape = (3, 5, 6)
    made = drawn(shape, 3)
    scale = torch.zeros(1, 1, 5, 6)
    residuals = 0.1 * torch.randn(1, *shape)
    before = made.innovations(residuals, scale)
    for place in range(math.prod(shape)):
        row, column, channel = place // 18, place // 3 % 6, place % 3
        changed = residuals.clone()
        changed[0, channel, row, column] += 0.2
        after = made.innovations(changed, scale)
        for old, new, own in zip(before, after, (False, True), strict=True):
            order = (old != new)[0].permute(1, 2, 0).flatten()
            assert not order[:place].any()
            # A pixel's deviation does not depend on any of its own channels.
            assert not (own and order[place : 18 * row + 3 * column + 3].any())


@torch.no_grad()
def test_moments_of_many_images_give_back_the_process_that_made_them() -> None:
    """Drawn pixel by pixel from a known filter; white noise is where the estimate starts."""
    shape = (1, 24, 24)
    made = CausalNoise(shape, LATENT_DIM, 1)
    made.log_constant.zero_()
    made.log_weights.fill_(-100)
    made.init_white(0.01)
    innovations = 0.1 * torch.randn(16, 1, 26, 26)
    residuals = torch.zeros(16, 1, 26, 26)
    for row in range(1, 26):
        for column in range(1, 25):
            past = 0.5 * residuals[:, :, row - 1, column] + 0.4 * residuals[:, :, row, column - 1]
            residuals[:, :, row, column] = past + innovations[:, :, row, column]
    inside = residuals[:, :, 1:25, 1:25]
    made.moments.copy_(made.batch_moments(inside, torch.zeros(16, 1, 24, 24)))
    whitener, deviation = made._predictor(1)
    weights = -whitener[0, 0] * deviation
    # Rows: above, and the pixel's own; the pixel itself has weight -1.
    expected = torch.tensor([[0.0, 0.5, 0.0], [0.4, -1.0, 0.0]])
    assert torch.allclose(weights, expected, atol=0.05)
    assert deviation.item() == pytest.approx(0.1, rel=0.03)


@torch.no_grad()
def test_the_moments_are_the_best_ones() -> None:
    made = drawn((3, 8, 8), 1)
    residuals = 0.1 * torch.randn(16, 3, 8, 8).cumsum(2).cumsum(3)
    scale = 0.5 * torch.randn(16, 1, 8, 8)
    made.log_weights.fill_(-100)  # then the local factors do not depend on the moments
    made.log_constant.zero_()
    best = made.batch_moments(residuals, scale)
    made.moments.copy_(best)
    at_best = innovations_nll(made.innovations(residuals, scale)).mean()
    for factor in (0.9, 1.1):
        made.moments.copy_(factor * best)
        assert innovations_nll(made.innovations(residuals, scale)).mean() > at_best
    made.moments.copy_(best + 0.1 * torch.diag(best.diagonal()))
    assert innovations_nll(made.innovations(residuals, scale)).mean() > at_best


@torch.no_grad()
def test_smooth_residuals_are_likelier_under_causal_noise_and_flat_ones_are_finite() -> None:
    made, local = CausalNoise((3, 32, 32), LATENT_DIM, 3), CausalNoise((3, 32, 32), LATENT_DIM, 0)
    residuals = 0.01 * torch.randn(16, 3, 32, 32).cumsum(2).cumsum(3)
    for each in (made, local):
        each.moments.copy_(each.batch_moments(residuals, torch.zeros(16, 1, 32, 32)))
    scale = torch.zeros(16, 1, 32, 32)
    causal = innovations_nll(made.innovations(residuals, scale)).mean()
    assert causal < innovations_nll(local.innovations(residuals, scale)).mean() - 3072
    flat = made.innovations(torch.zeros(16, 3, 32, 32), scale)
    assert torch.isfinite(innovations_nll(flat)).all()


def test_gradients_reach_every_parameter_and_no_buffer() -> None:
    made = drawn((3, 8, 8), 3)
    scale = made.log_scale(torch.randn(2, LATENT_DIM))
    innovations_nll(made.innovations(0.1 * torch.randn(2, 3, 8, 8), scale)).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())
    assert not made.moments.requires_grad


@pytest.mark.parametrize("size", [(32, 32), (1, 2), (12, 20)])
def test_the_map_of_scales_and_its_gradient_are_those_of_bilinear_interpolation(
    size: tuple[int, int],
) -> None:
    made, z = drawn((3, *size), 0), torch.randn(5, LATENT_DIM)
    coarse = made.log_scale_head(z).unflatten(1, (1, LOG_SCALE_SIDE, LOG_SCALE_SIDE))
    expected = functional.interpolate(coarse, size=size, mode="bilinear")
    found = made.log_scale(z)
    weights = torch.randn(expected.shape)
    parameters = list(made.log_scale_head.parameters())
    gradients = torch.autograd.grad((weights * found).sum(), parameters)
    wanted = torch.autograd.grad((weights * expected).sum(), parameters)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients, wanted)
    assert "interpolation" not in made.state_dict()


def test_the_map_of_scales_is_interpolated_in_float32_under_autocast() -> None:
    made, z = drawn((3, 32, 32), 0), torch.randn(5, LATENT_DIM)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = made.log_scale_head(z).float().unflatten(1, (1, LOG_SCALE_SIDE, LOG_SCALE_SIDE))
        found = made.log_scale(z)
    expected = functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_moments_of_nan_give_nan_and_no_error() -> None:
    """The training then stops by its own message."""
    made = drawn((3, 4, 4), 1)
    made.moments[0, 0] = math.nan
    scale = made.log_scale(torch.randn(1, LATENT_DIM))
    innovations = made.innovations(torch.randn(1, 3, 4, 4), scale)
    assert innovations_nll(innovations).isnan().all()
