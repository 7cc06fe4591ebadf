"""The decoder's noise has no say in what else is learned: byte for byte, clipping included."""

import numpy as np
import pytest
import torch

from pipeline.config.grid import Config, RunConfig, deep_merge
from pipeline.models.layers import init_weights
from pipeline.models.noise import Noise
from pipeline.models.pca import fit_pca, init_from_pca
from pipeline.models.vae import VAE, VAEConfig
from pipeline.training.state import TrainState, make_train_state
from pipeline.training.trainer import TrainData, fit


def trained(images: torch.Tensor, config: Config, noise: Noise, clip: float) -> TrainState:
    changes = {
        "data": {"val_size": 50, "train_size": 250},
        "train": {
            "epochs": 2,
            "clip_grad_norm": clip,
            "precision": "fp32",
            "lr_scheduler": {"warmup_steps": 3},
        },
        "model": {"refiner_channels": [8, 8], "noise": noise},
    }
    recipe = deep_merge(config.recipe("pca_refined").model_dump(), changes)
    run = RunConfig(variant="pca_refined", latent_dim=6, seed=0, **recipe)
    vae = VAEConfig((3, 16, 16), 6, [8, 8], "gaussian", refiner_channels=[8, 8], noise=noise)
    model = VAE(vae)
    init_weights(model, torch.Generator().manual_seed(0))
    init_from_pca(model, fit_pca(images))
    model = model.to(memory_format=torch.channels_last)
    state = make_train_state(model, run.train, steps_per_epoch=4, seed=0)
    for _ in fit(state, run, TrainData(images[:250], images[250:])):
        pass
    return state


def quarter(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images)[:, :, ::2, ::2].contiguous()


@pytest.mark.parametrize("clip", [1e9, 50.0])
def test_mean_and_encoder_are_the_same_bytes_with_any_noise(
    small_images: np.ndarray, params: Config, clip: float
) -> None:
    images = quarter(small_images)
    weights = {
        noise: trained(images, params, noise, clip).model.state_dict()
        for noise in ("isotropic", "heteroscedastic", "causal")
    }
    assert any(name.startswith("noise.") for name in weights["causal"])
    for name, tensor in weights["isotropic"].items():
        assert torch.equal(tensor, weights["heteroscedastic"][name]), name
        assert torch.equal(tensor, weights["causal"][name]), name


def test_the_same_causal_run_twice_is_the_same_bytes(
    small_images: np.ndarray, params: Config
) -> None:
    images = quarter(small_images)
    once, again = (trained(images, params, "causal", 50.0).model.state_dict() for _ in range(2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in once.items())
