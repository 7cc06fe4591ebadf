"""What the codes know about the images: mutual information, labels that a probe reads from mu."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.models.posterior import Posterior


def mutual_information(mu: Tensor, logvar: Tensor, generator: torch.Generator) -> float:
    """Estimate I(x; z) under q, nats, from N images; at most log N (Hoffman & Johnson 2016).

    E[log q(z|x) - log q(z)] with one z an image, q(z) the mixture of all N posteriors; mu, logvar [N, latent_dim].
    """
    eps = torch.randn(mu.shape, generator=generator).to(mu.device)
    z = Posterior(mu, logvar).sample(eps)
    precision = torch.exp(-logvar)
    # (z_i - mu_j)^2 / var_j summed over dimensions, as matrix products.
    distances = (
        z.square() @ precision.T - 2 * z @ (mu * precision).T + (mu.square() * precision).sum(1)
    )
    logs = -0.5 * (distances + logvar.sum(1)).double()  # log q(z_i | x_j) up to a constant, [N, N]
    return float((logs.diagonal() - logs.logsumexp(1)).mean() + math.log(len(mu)))


def linear_probe(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> float:
    """Return the test accuracy of a logistic regression from codes [N, D] to labels [N]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(probe.fit(*train).score(*test))
