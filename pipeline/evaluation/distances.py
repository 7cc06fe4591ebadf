"""How far two sets of images are apart by their features: Frechet, kernel, precision, recall."""

import contextlib
import io
import math

import torch
from torch import Tensor

# Precision, recall, density and coverage compare all pairs: of this many images at most.
PRDC_MAX_IMAGES = 5_000
NUM_NEIGHBORS = 5
NUM_KERNEL_SUBSETS = 50
KERNEL_SUBSET_SIZE = 1_000


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the squared Frechet distance of Gaussians fitted to features [N, D] and [M, D].

    Heusel et al. 2017, eq. 6. With covariances written as A'A and B'B, the trace of the root of
    their product is the sum of the singular values of M = AB', the roots of the eigenvalues of the
    symmetric MM': a small matrix where images are few.
    """
    mean, root = _moments(first.double())
    other_mean, other_root = _moments(second.double())
    product = root @ other_root.T
    overlap = torch.linalg.eigvalsh(product @ product.T).clamp(min=0).sqrt().sum()
    spread = root.square().sum() + other_root.square().sum() - 2 * overlap
    return float((mean - other_mean).square().sum() + spread)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean [D] of features [N, D], and A [min(N, D), D].

    A'A is their unbiased covariance.
    """
    mean = features.mean(0)
    root = torch.linalg.qr(features - mean, mode="r").R
    return mean, root / math.sqrt(len(features) - 1)


def kernel_distance(first: Tensor, second: Tensor, seed: int) -> float:
    """Return the unbiased squared MMD of features [N, D] and [M, D], a mean over random subsets.

    Binkowski et al. 2018, sec. 4. Kernels in float32, their sums in float64: twice as fast, and the
    same to the eighth digit.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(KERNEL_SUBSET_SIZE, len(first), len(second))
    estimates = []
    for _ in range(NUM_KERNEL_SUBSETS):
        x = first[torch.randperm(len(first), generator=generator)[:size]]
        y = second[torch.randperm(len(second), generator=generator)[:size]]
        between = polynomial_kernel(x, y).mean(dtype=torch.double)
        estimates.append(mean_off_diagonal(x) + mean_off_diagonal(y) - 2 * between)
    return float(torch.stack(estimates).mean())


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (x.y / D + 1)^3 for all pairs of features [N, D] and [M, D], [N, M]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def mean_off_diagonal(x: Tensor) -> Tensor:
    """Average the kernel over all pairs of different features among [N, D]."""
    kernel = polynomial_kernel(x, x)
    return (kernel.sum(dtype=torch.double) - kernel.trace()) / (len(x) * (len(x) - 1))


def prdc_metrics(real: Tensor, generated: Tensor) -> dict[str, float]:
    """Return precision and recall (Kynkaanniemi et al. 2019), density and coverage.

    The latter are Naeem et al.'s (2020). All look at NUM_NEIGHBORS neighbors; the first
    PRDC_MAX_IMAGES of each set are compared.
    """
    from prdc import compute_prdc

    # The library reports the sizes on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        metrics = compute_prdc(
            real[:PRDC_MAX_IMAGES].cpu().numpy(),
            generated[:PRDC_MAX_IMAGES].cpu().numpy(),
            nearest_k=NUM_NEIGHBORS,
        )
    return {key: float(value) for key, value in metrics.items()}


def distances(real: Tensor, generated: Tensor, name: str, seed: int) -> dict[str, float]:
    """Measure generated features [M, D] against real ones [N, D], under keys that end in `name`."""
    metrics = {
        "fd": frechet_distance(real, generated),
        "kd": kernel_distance(real, generated, seed),
    }
    metrics |= prdc_metrics(real, generated)
    return {f"{key}_{name}": value for key, value in metrics.items()}
