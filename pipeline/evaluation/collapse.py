"""Posterior collapse: is the latent vector used, by how many dimensions, and does the decoder listen?"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

CollapseLabel = Literal["collapsed", "partly collapsed", "healthy"]

# Below this share of the mean image's error removed by a model's own code, the decoder ignores z.
MIN_SHUFFLE_GAIN = 0.02
# A healthy model may leave this share of its dimensions unused.
MAX_INACTIVE_FRACTION = 0.05


class CollapseDiagnosis(NamedTuple):
    """The verdict, the numbers it rests on, and the reason in words."""

    verdict: CollapseLabel
    active_units: int
    active_share: float
    shuffle_gain: float
    reason: str


def active_units_mask(mu: Tensor, threshold: float) -> Tensor:
    """Which dimensions of mu [N, latent_dim] have Var_x[mu] above the threshold (Burda et al. 2016, sec. 4.2)."""
    return mu.double().var(dim=0, unbiased=False) > threshold


def shuffle_gain(own_mse: float, shuffled_mse: float) -> float:
    """1 - MSE(own code) / MSE(another image's code): 0 where the decoder ignores z, towards 1 where it follows."""
    return 1 - own_mse / shuffled_mse if shuffled_mse > 0 else 0.0


def diagnose_collapse(mu: Tensor, threshold: float, own_mse: float, shuffled_mse: float, kl: float) -> CollapseDiagnosis:
    """Judge a model by its codes mu [N, latent_dim], the shuffle test's two errors and its KL (nats per image).

    Collapsed: no dimension of mu varies with the image, or the decoder does no better with an image's own
    code than with another's. Partly collapsed: more than MAX_INACTIVE_FRACTION of the dimensions are inactive.
    A small KL alone condemns nothing: one used dimension can cost little.
    """
    used = active_units_mask(mu, threshold)
    count, share = int(used.sum()), float(used.double().mean())
    gain = shuffle_gain(own_mse, shuffled_mse)
    numbers = f"{count} of {mu.shape[1]} dimensions active, KL {kl:.4f} nats per image, shuffle gain {gain:.4f}"
    if count == 0:
        return CollapseDiagnosis("collapsed", count, share, gain, f"no dimension of mu varies with the image: {numbers}")
    if gain < MIN_SHUFFLE_GAIN:
        return CollapseDiagnosis("collapsed", count, share, gain, f"the decoder ignores z: {numbers}")
    if mu.shape[1] - count > MAX_INACTIVE_FRACTION * mu.shape[1]:
        return CollapseDiagnosis("partly collapsed", count, share, gain, f"{1 - share:.0%} of dimensions unused: {numbers}")
    return CollapseDiagnosis("healthy", count, share, gain, numbers)


def derangement(count: int, generator: torch.Generator) -> Tensor:
    """A drawn permutation without fixed points (a cycle through a drawn order): nobody keeps their own code."""
    order = torch.randperm(count, generator=generator)
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result
