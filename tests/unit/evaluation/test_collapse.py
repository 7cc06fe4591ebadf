"""Twenty and more planted models, each with the diagnosis that a person would give."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipeline.evaluation.collapse import (
    active_units_mask,
    derangement,
    diagnose_collapse,
    shuffle_gain,
)

N, D = 2000, 40
G = torch.Generator().manual_seed(0)
# What the "images" are made of.
X = torch.randn(N, D, generator=G)
FIXED = torch.linspace(-3, 3, D).expand(N, D)


def decoder(used: Tensor, noise: float = 0.3) -> Callable[[Tensor], tuple[float, float]]:
    """Errors of a linear decoder that follows the `used` dimensions.

    With an image's own code, and with another's.
    """

    def errors(mu: Tensor) -> tuple[float, float]:
        shuffled = mu[derangement(N, torch.Generator().manual_seed(1))]
        target = X * used
        own_mse = (target - mu * used).square().mean() + noise**2
        shuffled_mse = (target - shuffled * used).square().mean() + noise**2
        return float(own_mse), float(shuffled_mse)

    return errors


DEAF = decoder(torch.zeros(D))
LISTENING = decoder(torch.ones(D))


def first(count: int, scale: float = 1.0) -> Tensor:
    """Codes of which the first `count` dimensions carry the image."""
    mu = torch.zeros(N, D)
    mu[:, :count] = scale * X[:, :count]
    return mu


PLANTED = {
    "all dimensions dead": (torch.zeros(N, D), DEAF, "collapsed"),
    "all dead, mu a large constant": (FIXED.clone(), DEAF, "collapsed"),
    "all dead, one constant": (torch.full((N, D), 7.0), DEAF, "collapsed"),
    "all dead up to rounding": (1e-6 * X, DEAF, "collapsed"),
    "variance just below the threshold": (0.099 * X / X.std(0), DEAF, "collapsed"),
    "constant mu with a large variance of q": (FIXED * 5, DEAF, "collapsed"),
    "dead encoder, listening decoder": (torch.zeros(N, D), LISTENING, "collapsed"),
    "noise-only encoder, deaf decoder": (torch.randn(N, D, generator=G), DEAF, "collapsed"),
    "noise-only encoder, listening decoder": (
        torch.randn(N, D, generator=G),
        LISTENING,
        "collapsed",
    ),
    "decoder that ignores z": (X.clone(), DEAF, "collapsed"),
    "decoder that ignores a huge z": (100 * X, DEAF, "collapsed"),
    "decoder that ignores half a code": (first(20), DEAF, "collapsed"),
    "one dimension alive": (first(1), LISTENING, "partly collapsed"),
    "two dimensions alive": (first(2), LISTENING, "partly collapsed"),
    "half alive": (first(20), LISTENING, "partly collapsed"),
    "nine in ten alive": (first(36), LISTENING, "partly collapsed"),
    "one in twenty dead is tolerated": (first(38), LISTENING, "healthy"),
    "all alive": (X.clone(), LISTENING, "healthy"),
    "all alive, offset": (X + FIXED, lambda mu: LISTENING(mu - FIXED), "healthy"),
    "all alive with a tiny KL": (0.2 * X, lambda mu: LISTENING(5 * mu), "healthy"),
    "all alive with large codes": (10 * X, lambda mu: LISTENING(mu / 10), "healthy"),
    "all alive, noisy decoder": (X.clone(), decoder(torch.ones(D), noise=2.0), "healthy"),
    "variance just above the threshold": (
        0.11 * X / X.std(0),
        lambda mu: LISTENING(mu / 0.11),
        "healthy",
    ),
    "correlated dimensions": (X[:, :1].expand(N, D) + 0.2 * X, LISTENING, "healthy"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_diagnosis_of_a_planted_model(name: str) -> None:
    mu, errors, expected = PLANTED[name]
    result = diagnose_collapse(mu, 0.01, *errors(mu), kl=0.123)
    assert result.label == expected, result
    assert "0.1230" in result.reason
    assert result.active_units == int((mu.var(0) > 0.01).sum())
    assert result.active_fraction == pytest.approx(result.active_units / D)


def test_active_units_is_the_variance_of_mu() -> None:
    mu = torch.stack([torch.tensor([0.0, 1.0] * 50), torch.full((100,), 3.0)], dim=1)
    assert active_units_mask(mu, 0.01).tolist() == [True, False]
    assert active_units_mask(mu, 0.3).tolist() == [False, False]


def test_the_shuffle_gain_is_zero_for_equal_errors_and_defined_for_perfect_ones() -> None:
    assert shuffle_gain(0.5, 0.5) == 0
    assert shuffle_gain(0.0, 0.5) == 1
    assert shuffle_gain(0.0, 0.0) == 0


@pytest.mark.parametrize("count", [2, 3, 100])
def test_a_permutation_leaves_nobody_in_place(count: int) -> None:
    order = derangement(count, torch.Generator().manual_seed(count))
    assert sorted(order.tolist()) == list(range(count))
    assert not (order == torch.arange(count)).any()
