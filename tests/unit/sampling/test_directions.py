"""Directions of codes: those of a linear decoder are principal components, a deaf one has none."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.data.loader import to_float
from pipeline.models.layers import init_weights
from pipeline.models.pca import PCA, fit_pca, init_from_pca
from pipeline.models.vae import VAE, VAEConfig
from pipeline.sampling.directions import NUM_DIRECTIONS, explored_codes, leading_directions

SIZE = 12


@pytest.fixture(scope="module")
def images(small_images: np.ndarray) -> torch.Tensor:
    """Darkened and brightened by nothing: between 1/4 and 3/4, so that no decoder is clamped."""
    return torch.from_numpy(small_images[:, :, ::2, ::2] // 2 + 64)


@pytest.fixture(scope="module")
def pca(images: torch.Tensor) -> PCA:
    return fit_pca(images)


@pytest.fixture
def model(pca: PCA) -> VAE:
    """A VAE that is probabilistic PCA of the images."""
    model = VAE(VAEConfig((3, 16, 16), SIZE, [4, 8], "gaussian", refiner_channels=[4]))
    init_weights(model, torch.Generator().manual_seed(0))
    init_from_pca(model, pca)
    return model.eval().requires_grad_(False)


def found(model: VAE, images: torch.Tensor) -> dict[str, torch.Tensor]:
    return leading_directions(model, images, torch.Generator().manual_seed(0))


def test_directions_of_a_linear_decoder_are_its_principal_components(
    model: VAE, images: torch.Tensor, pca: PCA
) -> None:
    mean, components, _ = pca
    scores = (to_float(images).flatten(1).double() - mean) @ components.T
    shares = scores.var(0, unbiased=False) / scores.var(0, unbiased=False).sum()
    codes = found(model, images)
    assert codes["image_variance"].numpy() == pytest.approx(shares[:NUM_DIRECTIONS], rel=0.15)
    moved = model.decode(codes["directions"].float()) - model.decode(torch.zeros(1, SIZE))
    along = moved.flatten(1).double() @ components[:NUM_DIRECTIONS].T
    purity = along.diagonal().abs() / moved.flatten(1).norm(dim=1)
    assert purity[:3].min() > 0.95, "each moves along one component"
    assert (moved.flatten(1).sum(1) > 0).all(), "towards the light"


def test_a_step_is_a_standard_deviation_of_the_codes(model: VAE, images: torch.Tensor) -> None:
    codes = found(model, images)
    assert codes["directions"].norm(dim=1).numpy() == pytest.approx(1, abs=0.1)
    assert (codes["kl"] > 0.5).all()
    assert codes["mu_variance"].numpy() == pytest.approx(1, abs=0.2)


def test_a_decoder_that_ignores_its_code_explains_nothing(model: VAE, images: torch.Tensor) -> None:
    nn.init.zeros_(model.decoder.linear.weight)
    codes = found(model, images)
    assert codes["image_variance"].max() < 1e-12
    assert all(values.isfinite().all() for values in codes.values())


def test_fewer_images_than_dimensions_will_do(model: VAE, images: torch.Tensor) -> None:
    codes = found(model, images[:5])
    assert len(codes["directions"]) <= 5
    assert all(values.isfinite().all() for values in codes.values())


def test_codes_are_as_many_as_there_are_images(model: VAE, images: torch.Tensor) -> None:
    mu = model.encode(to_float(images[:7])).mu
    drawn = {"normal": torch.randn(40, SIZE)}
    generator = torch.Generator().manual_seed(0)
    codes = explored_codes(model, mu, drawn, images, generator)
    assert torch.equal(codes["mu"], mu)
    assert torch.equal(codes["normal"], drawn["normal"][:7])


def test_other_decoders_are_left_alone(model: VAE, images: torch.Tensor) -> None:
    model.decoder = nn.Identity()
    assert explored_codes(model, torch.zeros(1, SIZE), {}, images, torch.Generator()) == {}
