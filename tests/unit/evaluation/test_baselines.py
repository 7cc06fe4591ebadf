"""Baselines agree with scikit-learn's PCA and scipy's Gaussian, and with brute force."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn import decomposition

from pipeline.data.loader import to_float
from pipeline.evaluation import baselines
from pipeline.evaluation.reconstruction import binary_entropy
from pipeline.models.pca import fit_pca


@pytest.fixture(scope="module")
def split() -> tuple[torch.Tensor, torch.Tensor]:
    """8x8 one-channel noise: few enough dimensions that every covariance is regular."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(64, 64, generator=generator)
    pixels = torch.randn(900, 64, generator=generator) @ mixing * 4 + 128
    images = pixels.clamp(0, 255).to(torch.uint8).reshape(-1, 1, 8, 8)
    return images[:600], images[600:]


def test_pca_error_at_every_size_is_scikit_learns(split: tuple) -> None:
    train, test = (to_float(part).flatten(1).double().numpy() for part in split)
    ours = baselines.pca_mse(baselines.mean_squared_scores(fit_pca(split[0]), split[1]))
    assert ours[0].item() == pytest.approx(((test - train.mean(0)) ** 2).mean(), rel=1e-4)
    for size in (1, 17, 64):
        theirs = decomposition.PCA(n_components=size, svd_solver="full").fit(train)
        decoded = theirs.inverse_transform(theirs.transform(test))
        expected = ((decoded - test) ** 2).mean()
        # Products are in float32.
        assert ours[size].item() == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_probabilistic_pca_is_scikit_learns_log_likelihood(split: tuple) -> None:
    train, test = (to_float(part).flatten(1).double().numpy() for part in split)
    fitted = fit_pca(split[0])
    scores = baselines.mean_squared_scores(fitted, split[1])
    ours = baselines.ppca_bits_per_dim(fitted.explained_variance, scores)
    for size in (1, 17, 40):
        nats = -decomposition.PCA(n_components=size, svd_solver="full").fit(train).score(test)
        assert ours[size].item() == pytest.approx(nats / 64 / math.log(2) + 8, abs=5e-3)


def test_the_last_entry_is_the_full_gaussian(split: tuple) -> None:
    train, test = (to_float(part).flatten(1).double().numpy() for part in split)
    fitted = fit_pca(split[0])
    ours = baselines.compute_baselines(fitted, split[1])["gaussian_bits_per_dim"]
    gaussian = scipy.stats.multivariate_normal(train.mean(0), np.cov(train.T, bias=True))
    assert ours == pytest.approx(-gaussian.logpdf(test).mean() / 64 / math.log(2) + 8, abs=2e-3)


def test_the_mean_image_is_the_best_constant_and_nothing_is_below_perfect(split: tuple) -> None:
    metrics = baselines.compute_baselines(fit_pca(split[0]), split[0])
    mean = to_float(split[0]).mean(0)
    assert metrics["mean_image_bce"] == pytest.approx(binary_entropy(mean).mean().item(), rel=1e-4)
    assert metrics["bce_perfect"] == pytest.approx(
        baselines.mean_pixel_entropy(split[0]).mean().item(), rel=1e-6
    )
    assert metrics["bce_perfect"] < metrics["mean_image_bce"]
