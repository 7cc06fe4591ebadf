"""The posterior's samples and KL are those of torch.distributions, and stand in one place."""

import re

import pytest
import torch
from conftest import ROOT
from torch.distributions import Normal, kl_divergence

from pipeline.models.posterior import Posterior, kl_standard_normal

G = torch.Generator().manual_seed(0)
POSTERIOR = Posterior(torch.randn(5, 7, generator=G), torch.randn(5, 7, generator=G))


def as_normal(posterior: Posterior) -> Normal:
    return Normal(posterior.mu, posterior.logvar.exp().sqrt())


def torch_eps() -> torch.Tensor:
    """What `rsample` draws from the global state."""
    return torch.normal(torch.zeros(5, 7), torch.ones(5, 7))


def test_a_sample_and_its_gradients_are_those_of_rsample() -> None:
    results = []
    for draw in (
        lambda posterior: posterior.sample(torch_eps()),
        lambda posterior: as_normal(posterior).rsample(),
    ):
        torch.manual_seed(3)
        leaves = Posterior(*(part.clone().requires_grad_() for part in POSTERIOR))
        z = draw(leaves)
        z.square().sum().backward()
        results.append([z, leaves.mu.grad, leaves.logvar.grad])
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs)
        assert (ours != 0).all(), "mu and logvar both learn from a sample"


def test_samples_have_the_posteriors_mean_and_deviation() -> None:
    eps = torch.randn(50_000, 1, 7, generator=torch.Generator().manual_seed(2))
    samples = POSTERIOR.sample(eps)
    normal = as_normal(POSTERIOR)
    assert samples.shape == (50_000, 5, 7)
    assert ((samples.mean(0) - normal.mean) / normal.stddev).abs().max() < 0.03
    assert (samples.std(0) / normal.stddev - 1).abs().max() < 0.03


def test_without_eps_a_sample_is_mu() -> None:
    assert torch.equal(POSTERIOR.sample(torch.zeros(5, 7)), POSTERIOR.mu)


def test_kl_is_that_of_torch_distributions() -> None:
    expected = kl_divergence(as_normal(POSTERIOR), Normal(0.0, 1.0))
    assert POSTERIOR.kl().shape == (5, 7)
    assert torch.allclose(POSTERIOR.kl(), expected, atol=1e-6)
    assert torch.allclose(kl_standard_normal(*POSTERIOR), expected, atol=1e-6)
    assert Posterior(torch.zeros(1, 3), torch.zeros(1, 3)).kl().tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("formula", [r"\.5 \* \w*\.?log_?var\w*\) \* ", r"\.exp\(\) - 1 - "])
def test_reparameterization_and_kl_are_written_once(formula: str) -> None:
    """The two-stage prior draws with a decoder's noise, which is none of a posterior's."""
    paths = (ROOT / "pipeline").rglob("*.py")
    found = {
        (path.relative_to(ROOT / "pipeline").as_posix(), line.strip())
        for path in paths
        for line in path.read_text().splitlines()
        if re.search(formula, line) and "decoder_logvar" not in line
    }
    assert {path for path, _ in found} == {"models/posterior.py"}
    assert len(found) == 1
