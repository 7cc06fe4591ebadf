"""Start a VAE with a linear path as probabilistic PCA, so that training only has to improve on it."""

import math

import torch
from torch import Tensor, nn

from pipeline.model.vae import VAE


@torch.no_grad()
def start_from_pca(model: VAE, mean: Tensor, components: Tensor, variances: Tensor) -> None:
    """Set the linear path to the first latent_dim principal components, and silence the convolutions' ends.

    Mean [D], components [D, D] in rows and variances [D], by falling variance. The model then is the
    maximum-likelihood probabilistic PCA (Tipping & Bishop 1999, eqs. 7-8 and the posterior of sec. 3.1),
    its code rotated and scaled so that the prior N(0, I) fits.
    """
    if model.project is None or model.restore is None:
        raise ValueError("only a VAE with a linear path can start from PCA")
    size = model.latent_dim
    noise = variances[size:].mean() if size < len(variances) else variances[-1]
    kept, rows = variances[:size], components[:size]
    signal = (kept - noise).clamp(min=1e-3 * noise).sqrt()
    model.restore.weight.copy_(rows.T * signal)
    model.restore.bias.copy_(mean)
    # Posterior of the code: mean signal / (signal^2 + noise) * score, variance noise / (signal^2 + noise).
    total = signal.square() + noise
    model.project.weight.copy_(rows * (signal / total)[:, None])
    model.project.bias.copy_(-(rows @ mean) * signal / total)
    model.posterior.weight.zero_()
    model.posterior.bias.copy_(torch.cat([torch.zeros(size), (noise / total).log().float()]))
    last = model.decoder[-1]
    if not isinstance(last, nn.ConvTranspose2d) or last.bias is None:
        raise TypeError("the decoder is expected to end with a transposed convolution")
    last.weight.zero_()
    last.bias.zero_()
    model.log_variance.fill_(math.log(float(noise)))
