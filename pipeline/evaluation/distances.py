"""How far two sets of images are apart by their features: Frechet, kernel, precision, recall."""

import math
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

# Precision, recall, density and coverage compare all pairs: of this many images at most.
PRDC_MAX_IMAGES = 5_000
NUM_NEIGHBORS = 5
NUM_KERNEL_SUBSETS = 50
KERNEL_SUBSET_SIZE = 1_000


class ReferenceSet:
    """Features [N, D] of real images; what depends on them alone is computed once."""

    def __init__(self, features: Tensor, seed: int) -> None:
        self.features = features
        self.seed = seed

    def distances(self, generated: Tensor, name: str) -> dict[str, float]:
        """Measure generated features [M, D], under keys that end in `name`."""
        metrics = {
            "fd": self.frechet_distance(generated),
            "kd": self.kernel_distance(generated),
        }
        metrics |= self.prdc_metrics(generated)
        return {f"{key}_{name}": value for key, value in metrics.items()}

    def frechet_distance(self, generated: Tensor) -> float:
        """Return the squared Frechet distance of Gaussians fitted to both sets.

        Heusel et al. 2017, eq. 6. With covariances written as A'A and B'B, the trace of the root of
        their product is the sum of the singular values of M = AB', the roots of the eigenvalues of
        the symmetric MM': a small matrix where images are few.
        """
        mean, root = self._moments
        other_mean, other_root = moments(generated)
        product = root @ other_root.T
        overlap = torch.linalg.eigvalsh(product @ product.T).clamp(min=0).sqrt().sum()
        spread = root.square().sum() + other_root.square().sum() - 2 * overlap
        return float((mean - other_mean).square().sum() + spread)

    def kernel_distance(self, generated: Tensor) -> float:
        """Return the unbiased squared MMD, a mean over random subsets of both sets.

        Binkowski et al. 2018, sec. 4. Kernels in float32, their sums in float64: twice as fast, and
        the same to the eighth digit.
        """
        # Other draws than the reference's: an image must not meet its own reconstruction.
        generator = torch.Generator().manual_seed(self.seed + 1)
        estimates = []
        for x, within in self._kernel_subsets:
            y = random_subset(generated, generator)
            between = polynomial_kernel(x, y).mean(dtype=torch.double)
            estimates.append(within + mean_off_diagonal(y) - 2 * between)
        return float(torch.stack(estimates).mean())

    def prdc_metrics(self, generated: Tensor) -> dict[str, float]:
        """Return precision and recall (Kynkaanniemi et al. 2019), density and coverage.

        The latter are Naeem et al.'s (2020). All look at NUM_NEIGHBORS neighbors; the first
        PRDC_MAX_IMAGES of each set are compared.
        """
        first, radii = self._neighborhoods
        second, other_radii = neighborhoods(generated)
        between = torch.cdist(first, second)
        inside = between < radii[:, None]
        metrics = {
            "precision": inside.any(0),
            "recall": (between < other_radii).any(1),
            "density": inside.double().sum(0) / NUM_NEIGHBORS,
            "coverage": between.amin(1) < radii,
        }
        return {key: float(values.double().mean()) for key, values in metrics.items()}

    @cached_property
    def _moments(self) -> "Moments":
        return moments(self.features)

    @cached_property
    def _kernel_subsets(self) -> list[tuple[Tensor, Tensor]]:
        """Subsets, and the mean of the kernel within each."""
        generator = torch.Generator().manual_seed(self.seed)
        subsets = [random_subset(self.features, generator) for _ in range(NUM_KERNEL_SUBSETS)]
        return [(subset, mean_off_diagonal(subset)) for subset in subsets]

    @cached_property
    def _neighborhoods(self) -> tuple[Tensor, Tensor]:
        return neighborhoods(self.features)


class Moments(NamedTuple):
    """The mean [D] of features [N, D], and A [min(N, D), D]: A'A is their unbiased covariance."""

    mean: Tensor
    root: Tensor


def moments(features: Tensor) -> Moments:
    """Compute the moments of features [N, D] in float64."""
    features = features.double()
    mean = features.mean(0)
    root = torch.linalg.qr(features - mean, mode="r").R
    return Moments(mean, root / math.sqrt(len(features) - 1))


def random_subset(features: Tensor, generator: torch.Generator) -> Tensor:
    """Draw KERNEL_SUBSET_SIZE of features [N, D], or all, without replacement."""
    index = torch.randperm(len(features), generator=generator)[:KERNEL_SUBSET_SIZE]
    return features[index.to(features.device)]


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (x.y / D + 1)^3 for all pairs of features [N, D] and [M, D], [N, M]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def mean_off_diagonal(x: Tensor) -> Tensor:
    """Average the kernel over all pairs of different features among [N, D]."""
    kernel = polynomial_kernel(x, x)
    return (kernel.sum(dtype=torch.double) - kernel.trace()) / (len(x) * (len(x) - 1))


def neighborhoods(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first PRDC_MAX_IMAGES features, float64, and how far their neighbors reach, [N].

    As many as there are, where that is no more than NUM_NEIGHBORS.
    """
    some = features[:PRDC_MAX_IMAGES].double()
    # The nearest of all is oneself.
    count = min(NUM_NEIGHBORS + 1, len(some))
    return some, torch.cdist(some, some).topk(count, largest=False).values[:, -1]
