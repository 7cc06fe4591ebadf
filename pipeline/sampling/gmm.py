"""A mixture of Gaussians over codes, by expectation maximization (Dempster et al. 1977).

scikit-learn's takes minutes for 512 dimensions, where responsibilities are nearly all 0 or 1: here
the M step looks at a component's own codes, and the E step at half of each triangular product.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

NUM_COMPONENTS = 40
# Fewer where codes are few: a component has so many for each of its dimensions.
MIN_CODES_PER_DIM = 4
# A covariance is drawn towards the components' common shape as by so many codes a dimension.
PSEUDO_CODES_PER_DIM = 2
# Added to variances, which are about 1: no direction is left without any.
REG_COVAR = 1e-4
MAX_EM_ITERS = 20
NUM_KMEANS_ITERS = 10
# Nats a code that an iteration must gain for another one.
MIN_GAIN = 1e-2
# A component's moments leave out codes for which it is less responsible.
NEGLIGIBLE = 1e-8
# Codes looked at together, and rows of a triangular product.
CHUNK_SIZE = 5_000
BLOCK_SIZE = 128


class GaussianMixturePrior(NamedTuple):
    """Weights [K], means [K, D], lower Cholesky roots of the covariances [K, D, D]."""

    weights: Tensor
    means: Tensor
    scale_tril: Tensor

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes z [count, D] on the mixture's device, from a generator on the CPU."""
        weights = self.weights.cpu()
        component = torch.multinomial(weights, count, replacement=True, generator=generator)
        component = component.to(self.means.device)
        z = torch.randn(count, self.means.shape[1], generator=generator).to(self.means)
        for index, (mean, root) in enumerate(zip(self.means, self.scale_tril, strict=True)):
            rows = component == index
            z[rows] = mean + z[rows] @ root.T
        return z

    def joint_log_prob(self, z: Tensor) -> Tensor:
        """Return log P(component) + log p(z | component), nats, of codes [N, D]; [N, K]."""
        size, roots = z.shape[1], self.scale_tril.double()
        identity = torch.eye(size, dtype=roots.dtype, device=z.device)
        whiteners = torch.linalg.solve_triangular(roots, identity, upper=False).to(z.dtype)
        log_scale = roots.diagonal(dim1=1, dim2=2).log().sum(1) + size * math.log(2 * math.pi) / 2
        constants = (self.weights.double().log() - log_scale).to(z.dtype)
        components = list(zip(self.means, whiteners, strict=True))
        squares = [
            torch.stack([_squared_norms(part - mean, root) for mean, root in components], 1)
            for part in z.split(CHUNK_SIZE)
        ]
        return constants - torch.cat(squares) / 2


def _squared_norms(x: Tensor, lower: Tensor) -> Tensor:
    """Return |L x|^2 for each row x of [N, D] and a lower triangular L [D, D], [N]."""
    total = x.new_zeros(len(x))
    for start in range(0, x.shape[1], BLOCK_SIZE):
        end = start + BLOCK_SIZE
        # Beyond their diagonal these rows of L are zero.
        block = x[:, :end] @ lower[start:end, :end].T
        total += torch.linalg.vector_norm(block, dim=1).square()
    return total


def fit_gmm_prior(z: Tensor, generator: torch.Generator) -> GaussianMixturePrior:
    """Fit a mixture of NUM_COMPONENTS full-covariance Gaussians to codes [N, D].

    At most MAX_EM_ITERS: more of them change the samples' distance by less than a percent. The
    generator, on the CPU, draws where the search for components starts.
    """
    size = z.shape[1]
    num_components = max(1, min(NUM_COMPONENTS, len(z) // (MIN_CODES_PER_DIM * size)))
    pseudo_codes = PSEUDO_CODES_PER_DIM * size
    mixture = m_step(z, kmeans(z.abs(), num_components, generator), pseudo_codes)
    before = -math.inf
    for _ in range(MAX_EM_ITERS):
        responsibilities, log_likelihood = e_step(z, mixture)
        if log_likelihood - before < MIN_GAIN:
            break
        mixture, before = m_step(z, responsibilities, pseudo_codes), log_likelihood
    return mixture


def kmeans(x: Tensor, num_clusters: int, generator: torch.Generator) -> Tensor:
    """Cluster x [N, D] by Lloyd's algorithm from a random partition; one-hot members [N, K].

    Of the absolute values of codes it finds what tells images' codes apart: how much of each
    direction, not on which side. From there EM ends higher than from clusters of the codes.
    """
    nearest = torch.randint(num_clusters, (len(x),), generator=generator).to(x.device)
    centers = x[:num_clusters]
    for _ in range(NUM_KMEANS_ITERS):
        members = torch.nn.functional.one_hot(nearest, num_clusters).to(x.dtype)
        counts = members.sum(0)[:, None]
        centers = torch.where(counts > 0, members.T @ x / counts, centers)
        nearest = torch.cat([torch.cdist(part, centers).argmin(1) for part in x.split(CHUNK_SIZE)])
    return torch.nn.functional.one_hot(nearest, num_clusters).to(x.dtype)


def e_step(z: Tensor, mixture: GaussianMixturePrior) -> tuple[Tensor, float]:
    """Return the components' responsibilities for codes [N, D], [N, K], and the log likelihood.

    The latter is the mean of a code's, nats.
    """
    joint = mixture.joint_log_prob(z)
    log_likelihood = joint.logsumexp(1)
    return (joint - log_likelihood[:, None]).exp(), float(log_likelihood.double().mean())


def m_step(z: Tensor, responsibilities: Tensor, pseudo_codes: float) -> GaussianMixturePrior:
    """Return the mixture of greatest likelihood given responsibilities [N, K] for codes [N, D].

    But for its covariances, which are shrunk (Fraley & Raftery 2007) towards the components' common
    shape in each one's own scale: images differ in contrast above all.
    """
    counts = responsibilities.sum(0, dtype=torch.float64).clamp(min=NEGLIGIBLE)
    means, scatters = [], []
    for share, count in zip(responsibilities.T, counts, strict=True):
        own = share > NEGLIGIBLE
        codes, weight = z[own], share[own, None]
        mean = (weight * codes).sum(0) / count.to(z.dtype)
        scaled = (codes - mean) * weight.sqrt()
        means.append(mean)
        scatters.append((scaled.T @ scaled).double())
    scatter = torch.stack(scatters)
    floor = REG_COVAR * torch.eye(z.shape[1], dtype=torch.float64, device=z.device)
    counts = counts[:, None, None]
    common = scatter.sum(0) / len(z) + floor
    scale = (scatter * torch.linalg.inv(common)).sum((1, 2), keepdim=True) / counts / z.shape[1]
    # A component of one code has no scale.
    scale = torch.where(scale > NEGLIGIBLE, scale, 1.0)
    shape = (scatter / scale).sum(0) / len(z)
    covariances = (scatter + pseudo_codes * scale * shape) / (counts + pseudo_codes) + floor
    roots = torch.linalg.cholesky(covariances)
    # Row by row, as a file has them: what is drawn is rounded alike before and after.
    roots = roots.to(z.dtype).contiguous()
    return GaussianMixturePrior((counts.flatten() / len(z)).to(z.dtype), torch.stack(means), roots)
