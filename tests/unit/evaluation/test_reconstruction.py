"""Reconstruction errors agree with closed forms and with PyTorch's own losses."""

import math

import pytest
import torch
from torch.nn import functional

from pipeline.evaluation import reconstruction

G = torch.Generator().manual_seed(0)
IMAGES, PREDICTED = torch.rand(6, 3, 8, 8, generator=G), torch.rand(6, 3, 8, 8, generator=G)


def test_squared_error_is_the_mean_over_pixels() -> None:
    mse = reconstruction.mse_per_image(PREDICTED, IMAGES)
    assert mse.shape == (6,)
    assert torch.allclose(mse.mean(), functional.mse_loss(PREDICTED, IMAGES))


def test_psnr_of_known_errors() -> None:
    assert reconstruction.psnr(0.01) == pytest.approx(20)
    assert reconstruction.psnr(1.0) == 0
    assert reconstruction.psnr(0.0) == math.inf


def test_cross_entropy_is_pytorchs_and_finite_at_the_ends() -> None:
    inside = PREDICTED.clamp(0.01, 0.99)
    expected = functional.binary_cross_entropy(inside, IMAGES)
    assert torch.allclose(reconstruction.bce_per_image(inside, IMAGES).mean(), expected)
    wrong = reconstruction.bce_per_image(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8))
    assert wrong.item() == pytest.approx(math.log(510), rel=1e-4)


def test_entropy_is_the_least_cross_entropy() -> None:
    known = reconstruction.binary_entropy(torch.tensor([0.0, 1.0, 0.5]))
    assert known.tolist() == pytest.approx([0, 0, math.log(2)])
    inside = IMAGES.clamp(0.01, 0.99)
    at_itself = reconstruction.bce_per_image(inside, inside)
    entropy = reconstruction.binary_entropy(inside).flatten(1).mean(1)
    assert torch.allclose(entropy, at_itself, atol=1e-5)


def test_explained_information_runs_from_the_mean_image_to_the_perfect_one() -> None:
    assert reconstruction.explained_information(0.7, 0.7, 0.5) == 0
    assert reconstruction.explained_information(0.5, 0.7, 0.5) == pytest.approx(1)
    assert reconstruction.explained_information(0.72, 0.7, 0.5) < 0


def test_ssim_is_that_of_torchmetrics() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    generator = torch.Generator().manual_seed(0)
    for channels in (1, 3):
        x, y = torch.rand(2, 4, channels, 32, 32, generator=generator)
        mixed = 0.8 * x + 0.2 * y
        expected = structural_similarity_index_measure(mixed, x, data_range=1.0, reduction="none")
        assert torch.allclose(reconstruction.ssim(mixed, x), expected, atol=1e-4)
        assert torch.allclose(reconstruction.ssim(x, x), torch.ones(4), atol=1e-5)
