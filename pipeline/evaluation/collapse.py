"""Posterior collapse: is the code used, by how many dimensions, and does the decoder listen?"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

CollapseLabel = Literal["collapsed", "partly collapsed", "healthy"]

# Below this share of the shuffled error removed by a model's own code, the decoder ignores z.
MIN_SHUFFLE_GAIN = 0.02
# A healthy model may leave this share of its dimensions unused.
MAX_INACTIVE_FRACTION = 0.05


class CollapseDiagnosis(NamedTuple):
    """The verdict, the numbers it rests on, and the reason in words."""

    label: CollapseLabel
    active_units: int
    active_fraction: float
    shuffle_gain: float
    reason: str


def active_units_mask(mu: Tensor, threshold: float) -> Tensor:
    """Mark the dimensions of mu [N, latent_dim] with Var_x[mu] above the threshold.

    Burda et al. 2016, sec. 4.2; returns bool [latent_dim].
    """
    return mu.double().var(dim=0, unbiased=False) > threshold


def shuffle_gain(own_mse: float, shuffled_mse: float) -> float:
    """Return 1 - MSE(own code) / MSE(another image's code).

    0 where the decoder ignores z, towards 1 where it follows.
    """
    return 1 - own_mse / shuffled_mse if shuffled_mse > 0 else 0.0


def diagnose_collapse(
    mu: Tensor, threshold: float, own_mse: float, shuffled_mse: float, kl: float
) -> CollapseDiagnosis:
    """Judge a model by its codes mu [N, latent_dim], the shuffle test and its KL, nats per image.

    Collapsed: no dimension of mu varies with the image, or the decoder does no better with an
    image's own code than with another's. Partly collapsed: more than MAX_INACTIVE_FRACTION of the
    dimensions are inactive. A small KL alone condemns nothing: one used dimension can cost little.
    """
    active = active_units_mask(mu, threshold)
    count, fraction = int(active.sum()), float(active.double().mean())
    gain = shuffle_gain(own_mse, shuffled_mse)
    numbers = (
        f"{count} of {mu.shape[1]} dimensions active, KL {kl:.4f} nats per image, "
        f"shuffle gain {gain:.4f}"
    )
    label: CollapseLabel = "healthy"
    reason = numbers
    if count == 0:
        label, reason = "collapsed", f"no dimension of mu varies with the image: {numbers}"
    elif gain < MIN_SHUFFLE_GAIN:
        label, reason = "collapsed", f"the decoder ignores z: {numbers}"
    elif mu.shape[1] - count > MAX_INACTIVE_FRACTION * mu.shape[1]:
        label = "partly collapsed"
        reason = f"{1 - fraction:.0%} of dimensions unused: {numbers}"
    return CollapseDiagnosis(label, count, fraction, gain, reason)


def derangement(count: int, generator: torch.Generator) -> Tensor:
    """Draw a permutation [count] without fixed points: nobody keeps their own code.

    It is a cycle through a drawn order.
    """
    order = torch.randperm(count, generator=generator)
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result
