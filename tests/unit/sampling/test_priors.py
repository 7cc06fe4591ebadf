"""The second stage draws codes that are distributed as those it was fitted to."""

import torch

from pipeline.evaluation.distances import FeatureSet, frechet_distance
from pipeline.sampling.priors import fit_two_stage_prior

G = torch.Generator().manual_seed(0)
# Two clouds: a standard normal would be far off.
CODES = torch.cat(
    [torch.randn(1500, 4, generator=G) * 0.3 - 2, torch.randn(1500, 4, generator=G) * 0.5 + 1]
)
REAL = FeatureSet(CODES)
TO_NORMAL = frechet_distance(REAL, FeatureSet(torch.randn(3000, 4, generator=G)))


def test_the_two_stage_prior_comes_closer_than_the_standard_normal() -> None:
    model = fit_two_stage_prior(CODES, 60, torch.Generator().manual_seed(0))
    z = model.sample(3000, torch.Generator().manual_seed(1))
    assert frechet_distance(REAL, FeatureSet(z)) < 0.2 * TO_NORMAL


def test_it_is_the_same_twice() -> None:
    first, second = (
        fit_two_stage_prior(CODES, 2, torch.Generator().manual_seed(0)).sample(
            5, torch.Generator().manual_seed(1)
        )
        for _ in range(2)
    )
    assert torch.equal(first, second)
