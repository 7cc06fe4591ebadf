"""How far two sets of images are apart by their features: Frechet, kernel, precision, recall."""

import contextlib
import io
import math

import torch
from torch import Tensor

# Precision, recall, density and coverage compare all pairs: of this many images at most.
PRDC_MAX_IMAGES = 5_000
NEAREST = 5
KERNEL_SUBSETS, KERNEL_SUBSET_SIZE = 50, 1_000


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared Fréchet distance of Gaussians fitted to features [N, D] and [M, D] (Heusel et al. 2017, eq. 6).

    With covariances written as A'A and B'B, the trace of the root of their product is the sum of the singular values
    of M = AB', the roots of the eigenvalues of the symmetric MM': a small matrix where images are few.
    """
    (mean, root), (other_mean, other_root) = (_moments(part.double()) for part in (first, second))
    product = root @ other_root.T
    overlap = torch.linalg.eigvalsh(product @ product.T).clamp(min=0).sqrt().sum()
    spread = root.square().sum() + other_root.square().sum() - 2 * overlap
    return float((mean - other_mean).square().sum() + spread)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] of features [N, D], and A [min(N, D), D] with A'A their unbiased covariance."""
    mean = features.mean(0)
    return mean, torch.linalg.qr(features - mean, mode="r").R / math.sqrt(len(features) - 1)


def kernel_distance(first: Tensor, second: Tensor, seed: int) -> float:
    """Unbiased squared MMD, kernel (x.y / D + 1)^3, mean over random subsets (Binkowski et al. 2018, sec. 4).

    Kernels in float32, their sums in float64: twice as fast, and the same to the eighth digit.
    """
    size, generator = (
        min(KERNEL_SUBSET_SIZE, len(first), len(second)),
        torch.Generator().manual_seed(seed),
    )
    found = []
    for _ in range(KERNEL_SUBSETS):
        x, y = (
            part[torch.randperm(len(part), generator=generator)[:size]] for part in (first, second)
        )
        found.append(
            mean_off_diagonal(x)
            + mean_off_diagonal(y)
            - 2 * polynomial_kernel(x, y).mean(dtype=torch.double)
        )
    return float(torch.stack(found).mean())


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def mean_off_diagonal(x: Tensor) -> Tensor:
    """Mean of the kernel over all pairs of different elements."""
    kernel = polynomial_kernel(x, x)
    return (kernel.sum(dtype=torch.double) - kernel.trace()) / (len(x) * (len(x) - 1))


def prdc_metrics(real: Tensor, generated: Tensor) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020); 5 neighbours.

    The first PAIRED of each set are compared.
    """
    from prdc import compute_prdc

    # The library reports the sizes on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(
            real[:PRDC_MAX_IMAGES].cpu().numpy(),
            generated[:PRDC_MAX_IMAGES].cpu().numpy(),
            nearest_k=NEAREST,
        )
    return {key: float(value) for key, value in found.items()}


def distances(real: Tensor, generated: Tensor, name: str, seed: int) -> dict[str, float]:
    """Every distance of generated features from real ones, under keys that end in `name`."""
    figures = {
        "fd": frechet_distance(real, generated),
        "kd": kernel_distance(real, generated, seed),
    }
    figures |= prdc_metrics(real, generated)
    return {f"{key}_{name}": value for key, value in figures.items()}
