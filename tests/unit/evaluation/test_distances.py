"""Distances of sets of features agree with closed forms and a second implementation."""

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy import linalg
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from pipeline.evaluation import distances as module
from pipeline.evaluation.distances import (
    FeatureSet,
    distances,
    frechet_distance,
    kernel_distance,
    prdc_metrics,
)

G = torch.Generator().manual_seed(0)
A = torch.randn(600, 8, generator=G)
B = torch.randn(500, 8, generator=G) @ torch.diag(torch.linspace(0.5, 2, 8)) + 0.3
REAL, OTHER = FeatureSet(A), FeatureSet(B)


def test_frechet_distance_is_that_of_scipys_matrix_root() -> None:
    first, second = np.cov(A.double().T), np.cov(B.double().T)
    root = linalg.sqrtm(first @ second).real
    expected = ((A.mean(0) - B.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(REAL, OTHER) == pytest.approx(float(expected), rel=1e-4)
    assert frechet_distance(REAL, REAL) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(REAL, FeatureSet(A + 2)) == pytest.approx(8 * 4, rel=1e-4)


def test_kernel_distance_is_the_unbiased_mmd() -> None:
    """With one subset that is the whole set, the estimate has no randomness left."""
    a, b = A[:300].double(), B[:300].double()

    def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x @ y.T / 8 + 1) ** 3

    def off_diagonal(k: torch.Tensor) -> float:
        return float((k.sum() - k.trace()) / (300 * 299))

    expected = (
        off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * float(kernel(a, b).mean())
    )
    assert kernel_distance(FeatureSet(a), FeatureSet(b)) == pytest.approx(expected, rel=1e-3)
    assert kernel_distance(REAL, FeatureSet(A.flip(0))) == pytest.approx(0, abs=0.2)
    theirs = kid_features_to_metric(
        A, B, kid_subsets=50, kid_subset_size=500, kid_kernel="poly", verbose=False
    )
    assert kernel_distance(REAL, OTHER) == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=0.05)


def test_precision_and_recall_of_equal_and_of_distant_sets() -> None:
    same = prdc_metrics(REAL, FeatureSet(A + 1e-4))
    assert same["precision"] == same["recall"] == 1
    assert same["density"] == pytest.approx(1, abs=0.25)
    assert same["coverage"] == 1
    assert set(prdc_metrics(REAL, FeatureSet(A + 100)).values()) == {0}


def test_fewer_modes_cost_recall_and_not_precision() -> None:
    metrics = prdc_metrics(REAL, FeatureSet(A[A[:, 0] > 1][:200]))
    assert metrics["precision"] == 1
    assert metrics["recall"] < 0.8


@pytest.mark.parametrize("limit", [5_000, 200])
def test_precision_recall_density_and_coverage_are_the_librarys(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRDC_MAX_IMAGES", limit)
    theirs = compute_prdc(A[:limit].numpy(), B[:limit].numpy(), module.NUM_NEIGHBORS)
    assert prdc_metrics(FeatureSet(A), FeatureSet(B)) == pytest.approx(theirs, abs=1e-9)


def test_a_set_measured_after_others_is_measured_as_if_alone() -> None:
    """What is computed once of a set serves every distance."""
    alone = distances(FeatureSet(A), FeatureSet(B), "gmm")
    distances(REAL, FeatureSet(A + 1), "other")
    assert distances(REAL, OTHER, "gmm") == alone
    assert set(alone) == {
        f"{key}_gmm" for key in ("fd", "kd", "precision", "recall", "density", "coverage")
    }


def test_an_image_does_not_meet_its_own_reconstruction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subsets of the same images would make a perfect set look better than perfect, by 0.8."""
    monkeypatch.setattr(module, "KERNEL_SUBSET_SIZE", 20)
    assert kernel_distance(FeatureSet(A), FeatureSet(A)) == pytest.approx(0, abs=0.1)
