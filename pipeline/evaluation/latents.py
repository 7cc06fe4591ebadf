"""What the codes know about the images: mutual information, labels that a probe reads from mu."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.models.posterior import Posterior

NUM_INFORMATION_IMAGES = 2_000


def latent_metrics(
    test: Posterior,
    test_labels: np.ndarray,
    train: Posterior,
    train_labels: np.ndarray,
    generator: torch.Generator,
) -> dict[str, float]:
    """Measure what codes know: mutual information, and labels that a linear probe reads.

    The probe reads mu, and z ~ q(z|x), which is what the decoder sees: standardized, a collapsed
    model's mu is legible however little it varies, its z is not. Where all labels are the same, or
    there are none, there is nothing to read: no figure of it is returned.
    """
    some = slice(NUM_INFORMATION_IMAGES)
    mu, logvar = test.mu[some], test.logvar[some]
    information = mutual_information(mu, logvar, generator)
    metrics = {
        "mutual_information": information,
        "mutual_information_bound": math.log(len(mu)),
    }
    if len(np.unique(train_labels)) == 1:
        return metrics
    z = [part.sample(_eps_like(part.mu, generator)) for part in (train, test)]
    return metrics | {
        "probe_accuracy": _probe(train.mu, train_labels, test.mu, test_labels),
        "probe_accuracy_z": _probe(z[0], train_labels, z[1], test_labels),
    }


def _eps_like(mu: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(mu.shape, generator=generator).to(mu.device)


def _probe(train: Tensor, train_labels: np.ndarray, test: Tensor, test_labels: np.ndarray) -> float:
    codes = train.cpu().numpy(), test.cpu().numpy()
    return linear_probe((codes[0], train_labels), (codes[1], test_labels))


def mutual_information(mu: Tensor, logvar: Tensor, generator: torch.Generator) -> float:
    """Estimate I(x; z) under q, nats, from N images; at most log N (Hoffman & Johnson 2016).

    E[log q(z|x) - log q(z)] with one z an image, q(z) the mixture of all N posteriors. mu, logvar
    [N, latent_dim].
    """
    z = Posterior(mu, logvar).sample(_eps_like(mu, generator))
    precision = torch.exp(-logvar)
    # (z_i - mu_j)^2 / var_j summed over dimensions, as matrix products.
    distances = (
        z.square() @ precision.T - 2 * z @ (mu * precision).T + (mu.square() * precision).sum(1)
    )
    # log q(z_i | x_j) up to a constant, [N, N].
    logs = -0.5 * (distances + logvar.sum(1)).double()
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
