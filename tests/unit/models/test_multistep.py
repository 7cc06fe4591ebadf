"""The sampler of few evaluations against flows whose end is known in closed form."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import Tensor

from pipeline.models.multistep import integrate

SCALE, PLACE = 0.3, 0.7


def mixture_velocity(x: Tensor, t: float) -> Tensor:
    """E[x - e | x_t] where x is PLACE or -PLACE plus SCALE times a standard normal."""
    variance = (1 - t) ** 2 + (t * SCALE) ** 2
    gain = t * SCALE**2 / variance
    place = PLACE * torch.tanh(x * t * PLACE / variance)
    predicted = place + gain * (x - t * place)
    return (predicted - x) / (1 - t)


def exact_ends(start: Tensor) -> np.ndarray:
    """In one dimension a flow keeps the order of its points, hence their quantiles."""

    def cdf(x: float) -> float:
        return 0.5 * sum(stats.norm.cdf(x, place, SCALE) for place in (-PLACE, PLACE))

    levels = stats.norm.cdf(start.numpy())
    return np.array([optimize.brentq(lambda x, q=q: cdf(x) - q, -5, 5) for q in levels])


def rms_error(start: Tensor, num_steps: int) -> float:
    ends = integrate(mixture_velocity, start, num_steps).numpy()
    return float(np.sqrt(np.mean((ends - exact_ends(start)) ** 2)))


def test_ten_evaluations_end_near_the_exact_flow_of_a_mixture() -> None:
    start = torch.from_numpy(stats.norm.ppf(np.linspace(0.005, 0.995, 100)))
    errors = {steps: rms_error(start, steps) for steps in (10, 20, 40)}
    assert errors[10] < 0.02
    # Of second order: half the step leaves about a quarter of the error.
    assert errors[20] < errors[10] / 2.5
    assert errors[40] < errors[20] / 2.5


@pytest.mark.parametrize("scale", [0.5, 0.2, 0.1, 0.06])
def test_ten_evaluations_keep_a_small_variance(scale: float) -> None:
    """What a good code leaves open of an image is little; a sampler must not blur it away."""

    def velocity(x: Tensor, t: float) -> Tensor:
        return x * (t * scale**2 - (1 - t)) / ((1 - t) ** 2 + (t * scale) ** 2)

    end = integrate(velocity, torch.ones(1, dtype=torch.double), 10)
    assert float(end) == pytest.approx(scale, rel=0.03)


def test_a_gaussian_flow_is_a_shift_and_a_scale() -> None:
    start = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)

    def velocity(x: Tensor, t: float) -> Tensor:
        variance = (1 - t) ** 2 + (t * SCALE) ** 2
        predicted = PLACE + t * SCALE**2 / variance * (x - t * PLACE)
        return (predicted - x) / (1 - t)

    ends = integrate(velocity, start, 12)
    assert torch.allclose(ends, PLACE + SCALE * start, atol=0.03)


def test_each_step_costs_one_evaluation() -> None:
    times = []

    def velocity(x: Tensor, t: float) -> Tensor:
        times.append(t)
        return torch.zeros_like(x)

    integrate(velocity, torch.zeros(1), 8)
    assert times == pytest.approx([1 - (1 - step / 8) ** 1.5 for step in range(8)])
