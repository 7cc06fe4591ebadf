"""How far two sets of images are apart by their features: Frechet, kernel, precision, recall."""

import math
from functools import cached_property

import torch
from torch import Tensor

# Precision, recall, density and coverage compare all pairs: of this many images at most.
PRDC_MAX_IMAGES = 5_000
NUM_NEIGHBORS = 5
NUM_KERNEL_SUBSETS = 50
KERNEL_SUBSET_SIZE = 1_000


class FeatureSet:
    """Features [N, D] of a set of images; what distances need of it alone is computed once."""

    def __init__(self, features: Tensor, seed: int = 0) -> None:
        self.features = features
        self.seed = seed

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """The mean [D], and A [min(N, D), D]: A'A is the unbiased covariance; float64."""
        features = self.features.double()
        mean = features.mean(0)
        root = torch.linalg.qr(features - mean, mode="r").R
        return mean, root / math.sqrt(len(features) - 1)

    @cached_property
    def kernel_subsets(self) -> list[tuple[Tensor, Tensor]]:
        """Random subsets, by index, and the mean of the kernel within each."""
        generator = torch.Generator().manual_seed(self.seed)
        subsets = []
        for _ in range(NUM_KERNEL_SUBSETS):
            index = torch.randperm(len(self.features), generator=generator)[:KERNEL_SUBSET_SIZE]
            index = index.to(self.features.device)
            subsets.append((index, mean_off_diagonal(self.features[index])))
        return subsets

    @cached_property
    def radii(self) -> Tensor:
        """How far the neighbors of each of the first PRDC_MAX_IMAGES features reach, [N]."""
        some = self.features[:PRDC_MAX_IMAGES].double()
        # The nearest of all is oneself.
        count = min(NUM_NEIGHBORS + 1, len(some))
        return torch.cdist(some, some).topk(count, largest=False).values[:, -1]


def distances(real: FeatureSet, generated: FeatureSet, name: str) -> dict[str, float]:
    """Measure generated features against real ones, under keys that end in `name`."""
    metrics = {
        "fd": frechet_distance(real, generated),
        "kd": kernel_distance(real, generated),
    }
    metrics |= prdc_metrics(real, generated)
    return {f"{key}_{name}": value for key, value in metrics.items()}


def frechet_distance(first: FeatureSet, second: FeatureSet) -> float:
    """Return the squared Frechet distance of Gaussians fitted to two sets.

    Heusel et al. 2017, eq. 6. With covariances written as A'A and B'B, the trace of the root of
    their product is the sum of the singular values of M = AB', the roots of the eigenvalues of the
    symmetric MM': a small matrix where images are few.
    """
    (mean, root), (other_mean, other_root) = first.moments, second.moments
    product = root @ other_root.T
    overlap = torch.linalg.eigvalsh(product @ product.T).clamp(min=0).sqrt().sum()
    spread = root.square().sum() + other_root.square().sum() - 2 * overlap
    return float((mean - other_mean).square().sum() + spread)


def kernel_distance(first: FeatureSet, second: FeatureSet) -> float:
    """Return the unbiased squared MMD of two sets, a mean over random subsets.

    Binkowski et al. 2018, sec. 4. Kernels in float32, their sums in float64: twice as fast, and the
    same to the eighth digit.
    """
    # Of equal seeds, subsets of one number are of the same images: none is to meet its own copy.
    others = second.kernel_subsets[1:] + second.kernel_subsets[:1]
    estimates = []
    for (x, within_x), (y, within_y) in zip(first.kernel_subsets, others, strict=True):
        between = polynomial_kernel(first.features[x], second.features[y])
        estimates.append(within_x + within_y - 2 * between.mean(dtype=torch.double))
    return float(torch.stack(estimates).mean())


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (x.y / D + 1)^3 for all pairs of features [N, D] and [M, D], [N, M]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def mean_off_diagonal(x: Tensor) -> Tensor:
    """Average the kernel over all pairs of different features among [N, D]."""
    kernel = polynomial_kernel(x, x)
    return (kernel.sum(dtype=torch.double) - kernel.trace()) / (len(x) * (len(x) - 1))


def prdc_metrics(real: FeatureSet, generated: FeatureSet) -> dict[str, float]:
    """Return precision and recall (Kynkaanniemi et al. 2019), density and coverage.

    The latter are Naeem et al.'s (2020). All look at NUM_NEIGHBORS neighbors; the first
    PRDC_MAX_IMAGES of each set are compared.
    """
    first, second = (each.features[:PRDC_MAX_IMAGES].double() for each in (real, generated))
    between = torch.cdist(first, second)
    inside = between < real.radii[:, None]
    metrics = {
        "precision": inside.any(0),
        "recall": (between < generated.radii).any(1),
        "density": inside.sum(0).double() / NUM_NEIGHBORS,
        "coverage": between.amin(1) < real.radii,
    }
    return {key: float(values.double().mean()) for key, values in metrics.items()}
