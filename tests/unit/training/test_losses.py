"""Every term agrees with torch.distributions and closed forms."""

import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from pipeline.models.layers import init_weights
from pipeline.models.noise import ROUNDING_VARIANCE, CausalNoise, Noise
from pipeline.models.posterior import Posterior, kl_standard_normal
from pipeline.models.vae import VAE, Draws, Likelihood, VAEConfig, VAEOutput
from pipeline.training.losses import (
    bernoulli_nll,
    continuous_bernoulli_nll,
    elbo_terms,
    gaussian_nll,
    innovations_nll,
    optimal_variance,
)

G = torch.Generator().manual_seed(0)
MU, LOGVAR = torch.randn(5, 7, generator=G), torch.randn(5, 7, generator=G)
IMAGES, DECODED = torch.rand(5, 3, 32, 32, generator=G), torch.randn(5, 3, 32, 32, generator=G)
OUTPUT = VAEOutput(DECODED, Posterior(MU, LOGVAR))


def vae(likelihood: Likelihood, **changes: object) -> VAE:
    return VAE(VAEConfig((3, 32, 32), 7, [4, 8], likelihood, **changes))


def test_kl_is_that_of_torch_distributions() -> None:
    expected = kl_divergence(Normal(MU, (0.5 * LOGVAR).exp()), Normal(0.0, 1.0))
    assert torch.allclose(kl_standard_normal(MU, LOGVAR), expected, atol=1e-6)
    assert kl_standard_normal(torch.zeros(1, 3), torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


def test_bernoulli_is_the_log_probability_summed_over_pixels() -> None:
    binary = (IMAGES > 0.5).float()
    expected = -Bernoulli(logits=DECODED).log_prob(binary).flatten(1).sum(1)
    assert torch.allclose(bernoulli_nll(DECODED, binary), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.001, 0.3, 5.0])
def test_continuous_bernoulli_is_the_log_density_summed_over_pixels(scale: float) -> None:
    density = ContinuousBernoulli(logits=scale * DECODED.double())
    expected = -density.log_prob(IMAGES.double()).flatten(1).sum(1)
    nll = continuous_bernoulli_nll(scale * DECODED, IMAGES).double()
    assert torch.allclose(nll, expected, rtol=1e-4, atol=1e-3)


def test_heteroscedastic_noise_is_a_multivariate_normal_of_each_pixels_channels() -> None:
    root = torch.tensor([[0.2, 0.0, 0.0], [0.1, 0.15, 0.0], [-0.05, 0.1, 0.1]])
    scale = torch.randn(5, 1, 32, 32, generator=G)
    pixels = (IMAGES - DECODED).permute(0, 2, 3, 1)
    covariances = (root @ root.T) * scale.exp()[:, 0, :, :, None, None]
    expected = -MultivariateNormal(torch.zeros(3), covariances).log_prob(pixels).sum((1, 2))
    noise = CausalNoise((3, 32, 32), 7, reach=0)
    noise.moments.copy_(root @ root.T - ROUNDING_VARIANCE * torch.eye(3))
    nll = innovations_nll(noise.innovations(IMAGES - DECODED, scale))
    assert torch.allclose(nll, expected, rtol=1e-4)


def test_the_optimal_channel_covariance_is_the_best_one() -> None:
    scale = torch.randn(5, 1, 32, 32, generator=G)
    residuals = IMAGES - DECODED
    noise = CausalNoise((3, 32, 32), 7, reach=0)
    best = noise.batch_moments(residuals, scale)

    def nll(moments: torch.Tensor) -> float:
        noise.moments.copy_(moments)
        return innovations_nll(noise.innovations(residuals, scale)).mean().item()

    for other in (1.1 * best, 0.9 * best, best + 0.05 * torch.eye(3)):
        assert nll(other) > nll(best)


@pytest.mark.parametrize("kind", ["heteroscedastic", "causal"])
def test_noise_learns_without_a_say_in_the_mean_and_the_code(kind: Noise) -> None:
    def gradients(noise: Noise) -> dict[str, torch.Tensor]:
        model = vae("gaussian", refiner_channels=[4], noise=noise)
        init_weights(model, torch.Generator().manual_seed(0))
        output = model(IMAGES, Draws(torch.zeros(5, 7)))
        terms = elbo_terms(model, output, IMAGES, "sum", 1.0, torch.tensor(-3.0))
        terms.loss.sum().backward()
        return {
            name: parameter.grad
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }

    isotropic, noisy = gradients("isotropic"), gradients(kind)
    of_noise = [name for name in noisy if name.startswith("noise.")]
    assert len(of_noise) == (6 if kind == "causal" else 4)
    assert any(noisy[name].abs().max() > 0 for name in of_noise)
    for name, gradient in isotropic.items():
        assert torch.allclose(gradient, noisy[name], rtol=1e-4, atol=1e-3), name


@pytest.mark.parametrize("logvar", [-4.0, 0.0, 1.5])
def test_gaussian_is_the_log_probability_summed_over_pixels(logvar: float) -> None:
    expected = -Normal(DECODED, math.exp(logvar / 2)).log_prob(IMAGES).flatten(1).sum(1)
    assert torch.allclose(gaussian_nll(DECODED, IMAGES, torch.tensor(logvar)), expected, rtol=1e-5)


def test_the_optimal_variance_is_the_best_one() -> None:
    best = optimal_variance(DECODED, IMAGES).log()
    at_best = gaussian_nll(DECODED, IMAGES, best).mean()
    for shift in (-0.1, 0.1):
        assert gaussian_nll(DECODED, IMAGES, best + shift).mean() > at_best
    size = IMAGES[0].numel()
    expected = size / 2 * (math.log(2 * math.pi) + best.item() + 1)
    assert at_best.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("reduction", "weight"), [("sum", 1.0), ("mean", 1 / 3072)])
def test_the_reduction_weights_the_reconstruction_alone(reduction: str, weight: float) -> None:
    terms = elbo_terms(vae("bernoulli"), OUTPUT, IMAGES, reduction, 0.5, torch.tensor(0.0))
    assert torch.allclose(terms.kl, kl_standard_normal(MU, LOGVAR).sum(1))
    assert torch.allclose(terms.reconstruction, bernoulli_nll(DECODED, IMAGES))
    assert torch.allclose(terms.loss, weight * terms.reconstruction + 0.5 * terms.kl)


def test_the_source_reports_loss_is_a_decoder_variance_of_hundreds() -> None:
    """Dividing the reconstruction by 3,072 equals a KL weight of 3,072.

    Dimensions of z cannot pay for themselves.
    """
    model = vae("bernoulli")
    averaged = elbo_terms(model, OUTPUT, IMAGES, "mean", 1.0, torch.tensor(0.0)).loss
    weighted = elbo_terms(model, OUTPUT, IMAGES, "sum", 3072.0, torch.tensor(0.0)).loss
    assert torch.allclose(3072 * averaged, weighted, rtol=1e-5)
