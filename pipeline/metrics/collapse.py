"""Posterior collapse: is the latent vector used, by how many dimensions, and does the decoder listen?"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Verdict = Literal["collapsed", "partly collapsed", "healthy"]

# Below this share of the mean image's error removed by a model's own code, the decoder ignores z.
LISTENS = 0.02
# A healthy model may leave this share of its dimensions unused.
TOLERATED_INACTIVE = 0.05


class Collapse(NamedTuple):
    """The verdict, the numbers it rests on, and the reason in words."""

    verdict: Verdict
    active_units: int
    active_share: float
    shuffle_gain: float
    reason: str


def active(mu: Tensor, threshold: float) -> Tensor:
    """Which dimensions of mu [N, latent_dim] have Var_x[mu] above the threshold (Burda et al. 2016, sec. 4.2)."""
    return mu.double().var(dim=0, unbiased=False) > threshold


def shuffle_gain(own_mse: float, shuffled_mse: float) -> float:
    """1 - MSE(own code) / MSE(another image's code): 0 where the decoder ignores z, towards 1 where it follows."""
    return 1 - own_mse / shuffled_mse if shuffled_mse > 0 else 0.0


def diagnose(mu: Tensor, threshold: float, own_mse: float, shuffled_mse: float, kl: float) -> Collapse:
    """Judge a model by its codes mu [N, latent_dim], the shuffle test's two errors and its KL (nats per image).

    Collapsed: no dimension of mu varies with the image, or the decoder does no better with an image's own
    code than with another's. Partly collapsed: more than TOLERATED_INACTIVE of the dimensions are inactive.
    A small KL alone condemns nothing: one used dimension can cost little.
    """
    used = active(mu, threshold)
    count, share = int(used.sum()), float(used.double().mean())
    gain = shuffle_gain(own_mse, shuffled_mse)
    numbers = f"{count} of {mu.shape[1]} dimensions active, KL {kl:.4f} nats per image, shuffle gain {gain:.4f}"
    if count == 0:
        return Collapse("collapsed", count, share, gain, f"no dimension of mu varies with the image: {numbers}")
    if gain < LISTENS:
        return Collapse("collapsed", count, share, gain, f"the decoder ignores z: {numbers}")
    if mu.shape[1] - count > TOLERATED_INACTIVE * mu.shape[1]:
        return Collapse("partly collapsed", count, share, gain, f"{1 - share:.0%} of dimensions unused: {numbers}")
    return Collapse("healthy", count, share, gain, numbers)


def permutation(count: int, generator: torch.Generator) -> Tensor:
    """A drawn permutation without fixed points (a cycle through a drawn order): nobody keeps their own code."""
    order = torch.randperm(count, generator=generator)
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result
