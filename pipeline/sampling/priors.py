"""A prior over codes that is a VAE itself, fitted to the training images' codes."""

import math

import torch
from torch import Tensor, nn

from pipeline.models.layers import init_weights
from pipeline.models.posterior import Posterior
from pipeline.training.losses import gaussian_nll, optimal_variance

HIDDEN = 512
BATCH_SIZE = 500
LEARNING_RATE = 1e-3


class TwoStagePrior(nn.Module):
    """A VAE of codes: its own prior is easier to fit than images' (Dai & Wipf 2019, sec. 4)."""

    decoder_logvar: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = _mlp(latent_dim, 2 * latent_dim)
        self.decoder = _mlp(latent_dim, latent_dim)
        self.register_buffer("decoder_logvar", torch.zeros(()))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes z [count, latent_dim], with the decoder's noise."""
        shape, device = (count, self.latent_dim), self.decoder_logvar.device
        means = self.decoder(torch.randn(shape, generator=generator).to(device))
        eps = torch.randn(shape, generator=generator).to(device)
        return means + torch.exp(0.5 * self.decoder_logvar) * eps


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, outputs),
    )


@torch.enable_grad()
def fit_two_stage_prior(z: Tensor, epochs: int, generator: torch.Generator) -> TwoStagePrior:
    """Train on codes z [N, D] with the ELBO and the optimal variance, by Adam along a cosine."""
    model = TwoStagePrior(z.shape[1])
    init_weights(model, generator)
    model.to(z.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    total = epochs * math.ceil(len(z) / BATCH_SIZE)
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for _ in range(epochs):
        for index in torch.randperm(len(z), generator=generator).split(BATCH_SIZE):
            x = z[index.to(z.device)]
            posterior = Posterior(*model.encoder(x).chunk(2, dim=1))
            eps = torch.randn(posterior.mu.shape, generator=generator).to(z.device)
            means = model.decoder(posterior.sample(eps))
            logvar = optimal_variance(means, x).log()
            loss = gaussian_nll(means, x, logvar) + posterior.kl().sum(1)
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            lr_scheduler.step()
            with torch.no_grad():
                model.decoder_logvar.lerp_(logvar, 0.01)
    return model.eval().requires_grad_(False)
