"""The controls beside generated images, on models whose answer is known: PCA, collapsed, deaf."""

import numpy as np
import pytest
import torch

from pipeline.evaluation import controls
from pipeline.evaluation.collapse import derangement, diagnose_collapse
from pipeline.evaluation.evaluator import encode_all, shuffled_mse
from pipeline.evaluation.patches import patch_distance
from pipeline.models.layers import init_weights
from pipeline.models.pca import PCA, fit_pca, init_from_pca
from pipeline.models.vae import VAE, VAEConfig

SIZE = 6
NETWORKS = {
    "flow": {"likelihood": "flow", "flow_channels": 8, "flow_blocks": 1},
    "refined": {"likelihood": "gaussian", "refiner_channels": [4]},
}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def images(small_images: np.ndarray) -> torch.Tensor:
    # Small ones: components are found in no time.
    return torch.from_numpy(small_images[:, :, ::2, ::2].copy())


@pytest.fixture(scope="module")
def pca(images: torch.Tensor) -> PCA:
    return fit_pca(images)


def listening(kind: str, pca: PCA) -> VAE:
    """An untrained model that starts as PCA: its images hold their codes."""
    model = VAE(VAEConfig((3, 16, 16), SIZE, [4, 8], **NETWORKS[kind]))
    init_weights(model, generator())
    init_from_pca(model, pca)
    return model.eval().requires_grad_(False)


def deaf(kind: str, pca: PCA) -> VAE:
    """The same, but its decoder hears nothing of the code, which is as wide as before."""
    model = listening(kind, pca)
    model.decoder.linear.weight.zero_()
    if kind == "flow":
        # It draws: what it makes depends on the noise.
        model.decoder.last[-1].weight.normal_(0, 0.1, generator=generator())
        model.decoder.embed_z.weight.zero_()
        model.decoder.map_z.weight.zero_()
    return model


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_decoder_that_ignores_a_used_code_is_collapsed(
    kind: str, pca: PCA, images: torch.Tensor
) -> None:
    for model, label in ((listening(kind, pca), "healthy"), (deaf(kind, pca), "collapsed")):
        found = encode_all(model, images, seed=0)
        own, kl = float(found.mse.double().mean()), float(found.kl.sum(1).mean())
        shuffled = shuffled_mse(model, images, found.mu, seed=0)
        diagnosis = diagnose_collapse(found.mu, 0.01, own, shuffled, kl)
        assert diagnosis.active_units == SIZE
        assert diagnosis.label == label, diagnosis.reason


def test_both_codes_of_the_shuffle_test_start_from_the_same_noise(
    pca: PCA, images: torch.Tensor
) -> None:
    model = deaf("flow", pca)
    own = float(encode_all(model, images, seed=0).mse.double().mean())
    mu = model.encode(images / 255).mu
    assert shuffled_mse(model, images, mu, seed=0) == pytest.approx(own, rel=1e-6)
    order = derangement(len(mu), generator())
    assert not torch.equal(mu, mu[order])


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_cycle_is_short_where_images_hold_their_codes(
    kind: str, pca: PCA, images: torch.Tensor
) -> None:
    assert controls.code_cycle(listening(kind, pca), images, generator()) < 1
    assert controls.code_cycle(deaf(kind, pca), images, generator()) > 5


def test_a_code_that_says_nothing_has_a_cycle_of_one(pca: PCA, images: torch.Tensor) -> None:
    model = listening("refined", pca)
    for parameter in model.encoder.parameters():
        parameter.zero_()
    assert controls.code_cycle(model, images, generator()) == pytest.approx(1, abs=0.05)


def test_without_a_code_a_flow_draws_and_others_have_one_image(pca: PCA) -> None:
    one = controls.null_code_images(listening("refined", pca), 7, generator())
    assert one.shape == (1, 3, 16, 16)
    mean = pca.mean.reshape(1, 3, 16, 16)
    assert (one / 255 - mean).abs().max() < 1 / 255
    many = controls.null_code_images(deaf("flow", pca), 7, generator())
    assert many.shape == (7, 3, 16, 16)
    assert len(torch.unique(many.flatten(1), dim=0)) == 7


def test_a_sample_lies_below_its_mean_by_the_variance_that_it_draws(
    pca: PCA, images: torch.Tensor
) -> None:
    model = listening("flow", pca)
    drawn = float(encode_all(model, images, seed=0).mse.double().mean())
    psnr_of_mean = controls.mean_psnr(model, images, generator())
    # Untrained it is probabilistic PCA: what the components leave is drawn, white.
    variance = float(pca.explained_variance[SIZE:].mean())
    assert drawn == pytest.approx(10 ** (-psnr_of_mean / 10) + variance, rel=0.05)
    assert controls.mean_psnr(listening("refined", pca), images, generator()) is None


def test_patches_see_a_shift_as_their_size_times_its_square(images: torch.Tensor) -> None:
    assert patch_distance(images, images) == pytest.approx(0, abs=1e-6)
    darker = images // 2
    shifted = darker + 51
    expected = 3 * 8 * 8 * 0.2**2
    assert patch_distance(darker, shifted) == pytest.approx(expected, rel=1e-3)


def test_patches_see_blur(images: torch.Tensor) -> None:
    pixels = images.float()
    blurred = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1).to(torch.uint8)
    others = images.flip(0)
    assert patch_distance(images, blurred) > 10 * patch_distance(images, others) + 0.01
