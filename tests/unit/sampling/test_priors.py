"""Fitted priors draw codes that are distributed as those they were fitted to."""

import torch

from pipeline.evaluation.distances import FeatureSet, frechet_distance
from pipeline.sampling.priors import fit_gmm_prior, fit_two_stage_prior

G = torch.Generator().manual_seed(0)
# Two clouds: a standard normal would be far off.
CODES = torch.cat(
    [torch.randn(1500, 4, generator=G) * 0.3 - 2, torch.randn(1500, 4, generator=G) * 0.5 + 1]
)
REAL = FeatureSet(CODES)
TO_NORMAL = frechet_distance(REAL, FeatureSet(torch.randn(3000, 4, generator=G)))


def test_the_mixture_has_both_clouds() -> None:
    z = fit_gmm_prior(CODES, seed=0).sample(3000, torch.Generator().manual_seed(1))
    assert frechet_distance(REAL, FeatureSet(z)) < 0.02 * TO_NORMAL
    assert abs((z[:, 0] < -0.5).float().mean() - 0.5) < 0.05
    between = ((z[:, 0] > -0.9) & (z[:, 0] < -0.6)).float().mean()
    assert between <= 0.02, "nothing lies between them"


def test_few_codes_get_few_components() -> None:
    assert len(fit_gmm_prior(CODES[:20], seed=0).weights) == 2


def test_the_two_stage_prior_comes_closer_than_the_standard_normal() -> None:
    model = fit_two_stage_prior(CODES, 60, torch.Generator().manual_seed(0))
    z = model.sample(3000, torch.Generator().manual_seed(1))
    assert frechet_distance(REAL, FeatureSet(z)) < 0.2 * TO_NORMAL


def test_both_are_the_same_twice() -> None:
    for fit in (
        lambda: fit_gmm_prior(CODES, 0),
        lambda: fit_two_stage_prior(CODES, 2, torch.Generator().manual_seed(0)),
    ):
        first, second = (fit().sample(5, torch.Generator().manual_seed(1)) for _ in range(2))
        assert torch.equal(first, second)
