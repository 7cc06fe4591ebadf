"""The VAE's shapes, its initial weights, and its start from PCA checked against scikit-learn."""

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Bomb
from safetensors.torch import save
from sklearn import decomposition

from pipeline import UserError
from pipeline.data.loader import to_float
from pipeline.models.layers import Block, init_weights
from pipeline.models.pca import fit_pca, init_from_pca
from pipeline.models.vae import VAE, Draws, VAEConfig


def config(latent_dim: int, channels: list[int], **changes: Any) -> VAEConfig:
    parts = {"image_shape": (3, 32, 32), "likelihood": "gaussian"} | changes
    return VAEConfig(latent_dim=latent_dim, channels=channels, **parts)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32)])
@pytest.mark.parametrize("channels", [[4], [4, 8], [4, 8, 8, 8, 8]])
@pytest.mark.parametrize("refiner_channels", [None, [4, 4]])
@pytest.mark.parametrize("block", ["none", "conv", "residual"])
def test_shapes(
    shape: tuple[int, ...], channels: list[int], block: Block, refiner_channels: list[int] | None
) -> None:
    changes = {"likelihood": "bernoulli", "block": block, "refiner_channels": refiner_channels}
    model = VAE(config(5, channels, image_shape=shape, **changes))
    images = torch.rand(2, *shape)
    output = model(images, Draws(torch.zeros(2, 5)))
    assert output.decoder_output.shape == images.shape
    assert output.posterior.mu.shape == output.posterior.logvar.shape == (2, 5)
    assert output.log_scale is None
    means = model.to_pixels(output.decoder_output)
    assert ((means >= 0) & (means <= 1)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_heteroscedastic_noise_has_a_log_scale_of_each_pixel(channels: int) -> None:
    shape = (channels, 32, 32)
    model = VAE(config(5, [4, 8], image_shape=shape, noise="heteroscedastic"))
    output = model(torch.rand(2, *shape), Draws(torch.randn(2, 5)))
    assert output.log_scale.shape == (2, 1, 32, 32)
    assert output.log_scale.dtype == torch.float32
    assert model.noise.moments.shape == (channels, channels)


def test_the_code_is_mu_plus_scaled_eps() -> None:
    model = VAE(config(5, [4, 8]))
    images, eps = torch.rand(2, 3, 32, 32), torch.randn(2, 5)
    mu, logvar = model.encode(images)
    expected = model.decode(mu + logvar.exp().sqrt() * eps)
    assert torch.allclose(model(images, Draws(eps)).decoder_output, expected, atol=1e-6)
    assert torch.equal(model(images, Draws(eps)).posterior.mu, mu)


def test_a_fixed_posterior_variance_takes_the_encoders_place() -> None:
    model = VAE(config(5, [4, 8], fixed_posterior_variance=0.05))
    posterior = model.encode(torch.rand(2, 3, 32, 32))
    assert torch.allclose(posterior.logvar, torch.full((2, 5), math.log(0.05)))
    assert posterior.mu.std() > 0


def test_initial_weights_come_from_the_generator_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(int(torch.randint(1000, ())))
        model = VAE(config(16, [16, 32]))
        init_weights(model, torch.Generator().manual_seed(seed))
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


@pytest.fixture
def quarter(small_images: np.ndarray) -> torch.Tensor:
    """Of a quarter of the pixels, components are found in a fiftieth of the time."""
    return torch.from_numpy(small_images[:, :, ::2, ::2].copy())


def test_principal_components_are_scikit_learns(quarter: torch.Tensor) -> None:
    ours = fit_pca(quarter)
    x = to_float(quarter).flatten(1).double().numpy()
    theirs = decomposition.PCA(n_components=40, svd_solver="full").fit(x)
    assert np.allclose(ours.mean, theirs.mean_, atol=1e-6)
    expected = theirs.explained_variance_ * (len(x) - 1) / len(x)
    assert np.allclose(ours.explained_variance[:40], expected, rtol=1e-3)
    cosines = (ours.components[:40].numpy() * theirs.components_).sum(1)
    assert np.allclose(np.abs(cosines), 1, atol=1e-3)


def test_a_vae_that_starts_from_pca_is_probabilistic_pca(quarter: torch.Tensor) -> None:
    x, fitted = to_float(quarter), fit_pca(quarter)
    model = VAE(VAEConfig((3, 16, 16), 20, [4, 8], "gaussian", refiner_channels=[4, 4]))
    init_weights(model, torch.Generator().manual_seed(0))
    init_from_pca(model, fitted)
    with torch.no_grad():
        mu, logvar = model.encode(x)
        decoded = model.decode(mu).flatten(1).double()
    noise = fitted.explained_variance[20:].mean()
    assert model.decoder_logvar.exp().item() == pytest.approx(noise.item(), rel=1e-5)
    # Tipping & Bishop's posterior: M = W'W + s2 I, mean M^-1 W'(x - mean), covariance s2 M^-1.
    signal = (fitted.explained_variance[:20] - noise).sqrt()
    weights = fitted.components[:20].T * signal
    m = weights.T @ weights + noise * torch.eye(20)
    expected = (x.flatten(1).double() - fitted.mean) @ weights @ torch.linalg.inv(m)
    assert torch.allclose(mu.double(), expected, atol=1e-3)
    assert torch.allclose(
        logvar[0].exp().double(), noise * torch.linalg.inv(m).diagonal(), rtol=1e-3
    )
    assert torch.allclose(decoded, fitted.mean + expected @ weights.T, atol=1e-3)


def test_a_vae_without_a_linear_path_cannot_start_from_pca(quarter: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="linear path"):
        init_from_pca(VAE(VAEConfig((3, 16, 16), 5, [4], "gaussian")), fit_pca(quarter))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a model that uses everything a model can have."""
    folder = tmp_path / "model"
    model = VAE(config(5, [4, 8], block="residual", refiner_channels=[4], noise="heteroscedastic"))
    model.decoder_logvar.fill_(-3.0)
    model.save_pretrained(folder, {"fingerprint": "abc"})
    return folder


def test_a_saved_model_comes_back_whole_and_ready_to_evaluate(saved: Path) -> None:
    model = VAE.from_pretrained(saved)
    assert not model.training
    changes = {"block": "residual", "refiner_channels": [4], "noise": "heteroscedastic"}
    assert VAE.from_pretrained(str(saved)).config.refiner_channels == [4]
    for key, value in changes.items():
        assert getattr(model.config, key) == value
    assert tuple(model.config.image_shape) == model.image_shape == (3, 32, 32)
    assert model.decoder_logvar.item() == -3
    about = json.loads((saved / "model.json").read_text())
    assert about["fingerprint"] == "abc"
    x, eps = torch.rand(2, 3, 32, 32), torch.randn(2, 5)
    again = VAE.from_pretrained(saved)
    assert torch.equal(model(x, Draws(eps)).decoder_output, again(x, Draws(eps)).decoder_output)
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "weights.safetensors"]


def refused(folder: Path) -> str:
    with pytest.raises(UserError, match="holds no usable model") as caught:
        VAE.from_pretrained(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "run `dvc repro`" in message
    return message


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_folder_without_one_of_its_files_is_no_model(saved: Path, name: str) -> None:
    (saved / name).unlink()
    assert name in refused(saved)
    refused(saved / "nowhere")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}", b"null", pickle.dumps({"config": {}})]
)
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_rubbish_in_place_of_a_file_is_no_model(saved: Path, name: str, content: bytes) -> None:
    (saved / name).write_bytes(content)
    refused(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"latent_dim": 6},
        {"channels": [4, 8, 8]},
        {"block": "none"},
        {"refiner_channels": None},
        {"noise": "isotropic"},
        {"image_shape": [1, 32, 32]},
        {"image_shape": []},
        {"image_shape": "3"},
        {"channels": []},
        {"unknown": 1},
        {"latent_dim": -1},
        {"latent_dim": "5"},
        {"channels": 4},
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_its_weights_is_no_model(
    saved: Path, changes: dict
) -> None:
    about = json.loads((saved / "model.json").read_text())
    about["config"] |= changes
    (saved / "model.json").write_text(json.dumps(about))
    refused(saved)


@pytest.mark.parametrize("key", ["config", "weights_sha256"])
def test_a_description_without_a_part_is_no_model(saved: Path, key: str) -> None:
    about = json.loads((saved / "model.json").read_text())
    del about[key]
    (saved / "model.json").write_text(json.dumps(about))
    assert key in refused(saved)


def test_another_models_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    other = VAE.from_pretrained(saved)
    init_weights(other, torch.Generator().manual_seed(1))
    other.save_pretrained(tmp_path / "other", {})
    weights = (tmp_path / "other" / "weights.safetensors").read_bytes()
    (saved / "weights.safetensors").write_bytes(weights)
    assert "not those that model.json describes" in refused(saved)


def test_weights_that_are_described_but_of_no_model_are_refused(saved: Path) -> None:
    import hashlib

    weights = save({"rubbish": torch.zeros(3)})
    about = json.loads((saved / "model.json").read_text())
    about["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    (saved / "model.json").write_text(json.dumps(about))
    (saved / "weights.safetensors").write_bytes(weights)
    refused(saved)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_pickle_in_place_of_a_file_is_not_executed(
    saved: Path, tmp_path: Path, name: str
) -> None:
    mark = tmp_path / "executed"
    (saved / name).write_bytes(pickle.dumps(Bomb(mark)))
    refused(saved)
    assert not mark.exists()


def test_saving_over_a_model_replaces_it(saved: Path) -> None:
    VAE(config(7, [4])).save_pretrained(saved, {})
    assert VAE.from_pretrained(saved).latent_dim == 7


def test_half_precision_is_loaded_in_float32(saved: Path, tmp_path: Path) -> None:
    half = VAE.from_pretrained(saved).bfloat16()
    half.save_pretrained(tmp_path / "half", {})
    size, half_size = (
        (f / "weights.safetensors").stat().st_size for f in (saved, tmp_path / "half")
    )
    assert half_size < 0.6 * size
    model = VAE.from_pretrained(tmp_path / "half")
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    for name, tensor in VAE.from_pretrained(saved).state_dict().items():
        assert torch.allclose(model.state_dict()[name], tensor, rtol=0.01)
