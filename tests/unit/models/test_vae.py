"""The VAE's shapes, its initial weights, and its start from PCA checked against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn import decomposition

from pipeline.data.loader import to_float
from pipeline.models.layers import Block, init_weights
from pipeline.models.pca import fit_pca, init_from_pca
from pipeline.models.vae import VAE


@pytest.mark.parametrize("shape", [[3, 32, 32], [1, 32, 32]])
@pytest.mark.parametrize("channels", [[4], [4, 8], [4, 8, 8, 8, 8]])
@pytest.mark.parametrize("refinement", [None, [4, 4]])
@pytest.mark.parametrize("block", ["plain", "deeper", "residual"])
def test_shapes(
    shape: list[int], channels: list[int], block: Block, refinement: list[int] | None
) -> None:
    model = VAE(shape, 5, channels, "bernoulli", block, refinement)
    images = torch.rand(2, *shape)
    output = model(images, torch.zeros(2, 5))
    assert output.decoded.shape == images.shape
    assert output.mu.shape == output.logvar.shape == (2, 5)
    means = model.to_pixels(output.decoded)
    assert ((means >= 0) & (means <= 1)).all()


def test_the_code_is_mu_plus_scaled_noise() -> None:
    model = VAE([3, 32, 32], 5, [4, 8], "gaussian")
    images, noise = torch.rand(2, 3, 32, 32), torch.randn(2, 5)
    mu, logvar = model.encode(images)
    assert torch.allclose(
        model(images, noise).decoded, model.decode(mu + logvar.exp().sqrt() * noise), atol=1e-6
    )


def test_initial_weights_come_from_the_generator_alone_and_are_pytorchs_default() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(int(torch.randint(1000, ())))
        model = VAE([3, 32, 32], 16, [16, 32], "gaussian")
        init_weights(model, torch.Generator().manual_seed(seed))
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))
    default = torch.cat(
        [p.flatten() for p in VAE([3, 32, 32], 16, [16, 32], "gaussian").parameters()]
    )
    assert weights(0).std().item() == pytest.approx(default.std().item(), rel=0.02)
    assert weights(0).abs().max().item() == pytest.approx(default.abs().max().item(), rel=0.02)


def test_principal_components_are_scikit_learns(small_images: np.ndarray) -> None:
    ours = fit_pca(torch.from_numpy(small_images))
    x = to_float(torch.from_numpy(small_images)).flatten(1).double().numpy()
    theirs = decomposition.PCA(n_components=40).fit(x)
    assert np.allclose(ours.mean, theirs.mean_, atol=1e-6)
    assert np.allclose(
        ours.variances[:40], theirs.explained_variance_ * (len(x) - 1) / len(x), rtol=1e-3
    )
    cosines = (ours.components[:40].numpy() * theirs.components_).sum(1)
    assert np.allclose(np.abs(cosines), 1, atol=1e-3)


def test_a_vae_that_starts_from_pca_is_probabilistic_pca(small_images: np.ndarray) -> None:
    images = torch.from_numpy(small_images)
    x, fitted = to_float(images), fit_pca(images)
    model = VAE([3, 32, 32], 20, [4, 8], "gaussian", refinement=[4, 4])
    init_weights(model, torch.Generator().manual_seed(0))
    init_from_pca(model, fitted)
    with torch.no_grad():
        mu, logvar = model.encode(x)
        decoded = model.decode(mu).flatten(1).double()
    noise = fitted.variances[20:].mean()
    assert model.log_variance.exp().item() == pytest.approx(noise.item(), rel=1e-5)
    # The posterior of Tipping & Bishop: M = W'W + s2 I, mean M^-1 W'(x - mean), covariance s2 M^-1.
    weights = fitted.components[:20].T * (fitted.variances[:20] - noise).sqrt()
    m = weights.T @ weights + noise * torch.eye(20)
    expected = (x.flatten(1).double() - fitted.mean) @ weights @ torch.linalg.inv(m)
    assert torch.allclose(mu.double(), expected, atol=1e-3)
    assert torch.allclose(
        logvar[0].exp().double(), noise * torch.linalg.inv(m).diagonal(), rtol=1e-3
    )
    assert torch.allclose(decoded, fitted.mean + expected @ weights.T, atol=1e-3)


def test_a_vae_without_a_linear_path_cannot_start_from_pca(small_images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="linear path"):
        init_from_pca(
            VAE([3, 32, 32], 5, [4], "gaussian"), fit_pca(torch.from_numpy(small_images[:50]))
        )
