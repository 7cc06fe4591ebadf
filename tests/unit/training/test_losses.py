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
from pipeline.models.vae import VAE, VAEOutput
from pipeline.training.losses import (  # fmt: skip
    bernoulli_nll,
    continuous_bernoulli_nll,
    elbo_terms,
    gaussian_nll,
    heteroscedastic_gaussian_nll,
    kl_standard_normal,
    optimal_channel_cov,
    optimal_variance,
)

G = torch.Generator().manual_seed(0)
MU, LOGVAR = torch.randn(5, 7, generator=G), torch.randn(5, 7, generator=G)
IMAGES, DECODED = torch.rand(5, 3, 32, 32, generator=G), torch.randn(5, 3, 32, 32, generator=G)


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
    expected = (
        -ContinuousBernoulli(logits=scale * DECODED.double())
        .log_prob(IMAGES.double())
        .flatten(1)
        .sum(1)
    )
    assert torch.allclose(
        continuous_bernoulli_nll(scale * DECODED, IMAGES).double(), expected, rtol=1e-4, atol=1e-3
    )


def test_local_noise_is_a_multivariate_normal_of_each_pixels_channels() -> None:
    root = torch.tensor([[0.2, 0.0, 0.0], [0.1, 0.15, 0.0], [-0.05, 0.1, 0.1]])
    scale = torch.randn(5, 1, 32, 32, generator=G)
    pixels = (IMAGES - DECODED).permute(0, 2, 3, 1)
    covariances = (root @ root.T) * scale.exp()[:, 0, :, :, None, None]
    expected = -MultivariateNormal(torch.zeros(3), covariances).log_prob(pixels).sum((1, 2))
    assert torch.allclose(
        heteroscedastic_gaussian_nll(IMAGES - DECODED, root @ root.T, scale), expected, rtol=1e-4
    )


def test_the_optimal_colours_are_the_best_ones() -> None:
    scale = torch.randn(5, 1, 32, 32, generator=G)
    residuals = IMAGES - DECODED
    best = optimal_channel_cov(residuals, scale)
    at_best = heteroscedastic_gaussian_nll(residuals, best, scale).mean()
    for other in (1.1 * best, 0.9 * best, best + 0.05 * torch.eye(3)):
        assert heteroscedastic_gaussian_nll(residuals, other, scale).mean() > at_best


def test_local_noise_learns_without_a_say_in_the_mean_and_the_code() -> None:
    def gradients(covariance: str) -> dict[str, torch.Tensor]:
        model = VAE([3, 32, 32], 7, [4, 8], "gaussian", refinement=[4], covariance=covariance)
        init_weights(model, torch.Generator().manual_seed(0))
        output = model(IMAGES, torch.zeros(5, 7))
        elbo_terms(
            model, output, IMAGES, "sum", 1.0, torch.tensor(-3.0)
        ).total_loss.sum().backward()
        return {
            name: parameter.grad
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }

    isotropic, local = gradients("isotropic"), gradients("local")
    assert {name for name in local if name.startswith("local.")}
    for name, gradient in isotropic.items():
        assert torch.allclose(gradient, local[name], rtol=1e-4, atol=1e-3), name


@pytest.mark.parametrize("log_variance", [-4.0, 0.0, 1.5])
def test_gaussian_is_the_log_probability_summed_over_pixels(log_variance: float) -> None:
    expected = -Normal(DECODED, math.exp(log_variance / 2)).log_prob(IMAGES).flatten(1).sum(1)
    assert torch.allclose(
        gaussian_nll(DECODED, IMAGES, torch.tensor(log_variance)), expected, rtol=1e-5
    )


def test_the_optimal_variance_is_the_best_one() -> None:
    best = optimal_variance(DECODED, IMAGES).log()
    at_best = gaussian_nll(DECODED, IMAGES, best).mean()
    for shift in (-0.1, 0.1):
        assert gaussian_nll(DECODED, IMAGES, best + shift).mean() > at_best
    size = IMAGES[0].numel()
    assert at_best.item() == pytest.approx(
        size / 2 * (math.log(2 * math.pi) + best.item() + 1), rel=1e-5
    )


@pytest.mark.parametrize(("reduction", "weight"), [("sum", 1.0), ("mean", 1 / 3072)])
def test_the_reduction_weights_the_reconstruction_alone(reduction: str, weight: float) -> None:
    model = VAE([3, 32, 32], 7, [4, 8], "bernoulli")
    loss = elbo_terms(
        model, VAEOutput(DECODED, MU, LOGVAR), IMAGES, reduction, 0.5, torch.tensor(0.0)
    )
    assert torch.allclose(loss.kl, kl_standard_normal(MU, LOGVAR).sum(1))
    assert torch.allclose(loss.reconstruction, bernoulli_nll(DECODED, IMAGES))
    assert torch.allclose(loss.total_loss, weight * loss.reconstruction + 0.5 * loss.kl)


def test_the_source_reports_loss_is_a_decoder_variance_of_hundreds() -> None:
    """Dividing the reconstruction by 3,072 equals a KL weight of 3,072: its dimensions cannot pay for themselves."""
    model = VAE([3, 32, 32], 7, [4, 8], "bernoulli")
    output = VAEOutput(DECODED, MU, LOGVAR)
    averaged = elbo_terms(model, output, IMAGES, "mean", 1.0, torch.tensor(0.0)).total_loss
    weighted = elbo_terms(model, output, IMAGES, "sum", 3072.0, torch.tensor(0.0)).total_loss
    assert torch.allclose(3072 * averaged, weighted, rtol=1e-5)
