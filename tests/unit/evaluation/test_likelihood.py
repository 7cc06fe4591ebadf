"""The 8-bit likelihood sums to one, as scipy's does; the bound agrees with a known log p(x)."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from pipeline.evaluation.likelihood import (
    bits_per_dim,
    decoder_innovations,
    discretized_gaussian_log_likelihood,
    iwae_bound,
)
from pipeline.models.layers import init_weights
from pipeline.models.noise import ROUNDING_VARIANCE, CausalNoise, Innovations
from pipeline.models.pca import fit_pca, init_from_pca
from pipeline.models.vae import VAE, VAEConfig

LEVELS = torch.arange(256) / 255


def log_likelihood(means: torch.Tensor, images: torch.Tensor, deviation: float) -> torch.Tensor:
    """Of white noise."""
    innovations = Innovations((images - means) / deviation, torch.full_like(images, deviation))
    return discretized_gaussian_log_likelihood(innovations, images)


def log_likelihood_of_channels(
    means: torch.Tensor, images: torch.Tensor, root: torch.Tensor, log_scale: torch.Tensor
) -> torch.Tensor:
    """Of noise whose channels have the covariance root root' exp(log_scale)."""
    noise = CausalNoise((len(root), *images.shape[2:]), 4, reach=0)
    identity = torch.eye(len(root))
    noise.moments.copy_(root @ root.T - ROUNDING_VARIANCE * identity)
    with torch.no_grad():
        innovations = noise.innovations(images - means, log_scale)
    return discretized_gaussian_log_likelihood(innovations, images)


@pytest.mark.parametrize("deviation", [0.0005, 0.03, 0.5])
@pytest.mark.parametrize("mean", [-0.1, 0.0, 0.4, 1.0])
def test_one_channel_has_the_probabilities_of_scipy_and_they_sum_to_one(
    deviation: float, mean: float
) -> None:
    images = LEVELS.reshape(-1, 1, 1, 1)
    logs = log_likelihood(torch.full_like(images, mean), images, deviation).double()
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    expected = np.diff(norm.cdf(edges, mean, deviation))
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-4)
    assert np.allclose(logs.exp(), expected, atol=1e-5)


def test_channels_that_depend_on_each_other_sum_to_one_over_all_their_values() -> None:
    """Two channels of 32 coarse levels stand for 8 bits: the sum over both of P(a) P(b|a) is 1."""
    root = torch.tensor([[0.08, 0.0], [0.07, 0.03]])
    first, second = torch.meshgrid(LEVELS, LEVELS, indexing="ij")
    images = torch.stack([first, second], -1).reshape(-1, 2, 1, 1)
    means = torch.tensor([0.3, 0.6]).reshape(1, 2, 1, 1).expand_as(images)
    for scale in (-1.0, 0.5):
        log_scale = torch.full((1, 1, 1, 1), scale)
        logs = log_likelihood_of_channels(means, images, root, log_scale)
        assert logs.double().exp().sum().item() == pytest.approx(1, abs=1e-3)


def test_where_noise_is_much_wider_than_a_step_it_is_the_density_times_the_step() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.tensor([[0.2, 0.0, 0.0], [0.1, 0.15, 0.0], [-0.05, 0.1, 0.1]])
    images = torch.randint(60, 200, (5, 3, 4, 4), generator=generator) / 255
    means = torch.rand(5, 3, 4, 4, generator=generator)
    scale = torch.randn(5, 1, 4, 4, generator=generator) * 0.3
    found = log_likelihood_of_channels(means, images, root, scale)
    for image in range(5):
        density = 0.0
        for y in range(4):
            for x in range(4):
                covariance = root @ root.T * scale[image, 0, y, x].exp()
                pixel = torch.distributions.MultivariateNormal(means[image, :, y, x], covariance)
                density += pixel.log_prob(images[image, :, y, x]).item()
        assert found[image].item() == pytest.approx(density - 48 * math.log(255), rel=2e-3)


def test_far_tails_are_finite_and_still_fall() -> None:
    means = torch.tensor([0.52, 0.54, 0.56, 0.6, 0.9]).reshape(-1, 1, 1, 1)
    logs = log_likelihood(means, torch.full_like(means, 0.5), 0.004)
    assert torch.isfinite(logs).all()
    assert (logs.diff() < 0).all()


def test_the_bound_of_probabilistic_pca_is_its_exact_likelihood(small_images: np.ndarray) -> None:
    """There the posterior is exact: each importance weight is p(x), any number of them gives it."""
    images = torch.from_numpy(small_images[:, :, ::2, ::2].copy())
    pca = fit_pca(images)
    model = VAE(VAEConfig((3, 16, 16), 20, [4, 8], "gaussian", refiner_channels=[4]))
    init_weights(model, torch.Generator().manual_seed(0))
    init_from_pca(model, pca)
    model.eval()
    with torch.inference_mode():
        one = iwae_bound(model, images[:6], 1, torch.Generator().manual_seed(0))
        many = iwae_bound(model, images[:6], 50, torch.Generator().manual_seed(1))
        coarse = iwae_bound(model, images[:6], 50, torch.Generator().manual_seed(1), "bf16")
    noise = pca.explained_variance[20:].mean()
    weights = pca.components[:20].T * (pca.explained_variance[:20] - noise).sqrt()
    covariance = weights @ weights.T + noise * torch.eye(768)
    x = images[:6].flatten(1).double() / 255 - pca.mean
    exact = -0.5 * ((x @ torch.linalg.inv(covariance) * x).sum(1) + torch.logdet(covariance))
    exact -= 384 * math.log(2 * math.pi) + 768 * math.log(255)
    # What rounding to 8 bits adds is small; the two bounds differ by it alone.
    assert torch.allclose(many, one, rtol=2e-3)
    assert bits_per_dim(coarse, 768) == pytest.approx(bits_per_dim(many, 768), abs=1e-3)
    assert bits_per_dim(many, 768) == pytest.approx(bits_per_dim(exact, 768), rel=0.02)


def test_isotropic_noise_is_the_stored_variance() -> None:
    model = VAE(VAEConfig((3, 32, 32), 4, [4, 8], "gaussian"))
    model.decoder_logvar.fill_(math.log(0.04))
    residuals = torch.randn(2, 3, 32, 32)
    standardized, deviation = decoder_innovations(model, torch.zeros(2, 4), residuals)
    assert torch.allclose(deviation, torch.full_like(residuals, 0.2))
    assert torch.allclose(standardized, residuals / 0.2)
