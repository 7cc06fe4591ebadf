"""One training step, from the indices of a batch to the updated weights.

Nothing in it looks at a value on the device, so that a GPU can be handed all of it at once.
"""

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline.config.grid import RunConfig
from pipeline.config.recipe import LossConfig
from pipeline.data.loader import load_batch
from pipeline.models.noise import NUM_MOMENT_IMAGES
from pipeline.models.vae import VAEOutput
from pipeline.training.losses import ELBOTerms, elbo_terms, optimal_variance
from pipeline.training.state import TrainState

# How fast the stored variance follows the batches' optimal one: an average over about 100 steps.
NOISE_EMA_DECAY = 0.99


class TrainStep:
    """Takes one optimizer step on the images of an index, as they are drawn and augmented.

    `sums` [6] adds up, over the images seen since it was last zeroed: loss, reconstruction, KL,
    the means of mu and logvar, and the length of the gradient.
    """

    def __init__(self, state: TrainState, run: RunConfig, images: Tensor) -> None:
        self.state = state
        self.run = run
        self.images = images
        precise = torch.float32 if images.device.type == "mps" else torch.float64
        self.sums = torch.zeros(6, dtype=precise, device=images.device)

    def __call__(self, index: Tensor) -> None:
        """Learn from the images of this index [B], int64."""
        state, augment = self.state, self.run.train.augment
        x = load_batch(self.images, index, augment.flip, augment.crop_padding, state.generator)
        terms, watched = train_step(state, self.run, x)
        batch_means = [*(term.detach().mean() for term in terms), *watched.values()]
        self.sums += torch.stack(batch_means).to(self.sums.dtype) * len(state.dist.shard(x))


def train_step(
    state: TrainState, run: RunConfig, images: Tensor
) -> tuple[ELBOTerms, dict[str, Tensor]]:
    """Take one optimizer step on images [B, C, H, W] in [0, 1].

    Returns the terms and what else is watched. Of several processes each gets the whole batch, and
    returns the values of its shard.
    """
    model, dist, batch_size = state.model, state.dist, len(images)
    draws = model.draw(batch_size, state.generator).map(lambda part: part.to(images.device))
    images, draws = dist.shard(images), draws.map(dist.shard)

    # Forward.
    bf16 = run.train.precision == "bf16"
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        output = state.forward(images, draws)
    logvar = update_noise_estimates(state, output, images, run.loss, len(images) / batch_size)
    terms = elbo_terms(model, output, images, run.loss.reduction, run.loss.beta, logvar)

    # Backward. Gradients are averaged over the processes: their sum needs the world size back.
    state.optimizer.zero_grad()
    (terms.loss.sum() * (dist.world_size / batch_size)).backward()
    # Apart, so that the noise has no say in how far the rest goes.
    grad_norm = clip_grad_norm_(state.parameters, run.train.clip_grad_norm)
    clip_grad_norm_(state.noise_parameters, run.train.clip_grad_norm)

    # Update.
    state.optimizer.step()
    update_average(state)
    mu, logvar_q = output.posterior
    watched = {"mu_mean": mu.mean(), "logvar_mean": logvar_q.mean(), "grad_norm": grad_norm}
    return terms, {name: value.detach() for name, value in watched.items()}


@torch.no_grad()
def update_noise_estimates(
    state: TrainState, output: VAEOutput, images: Tensor, loss: LossConfig, share: float
) -> Tensor:
    """Return the Gaussian log variance of this step, and move the stored estimates towards it.

    The stored ones are what evaluation uses. `images` are this `share` of the batch, whose optimum
    is the mean over all processes.
    """
    model, dist = state.model, state.dist
    if model.noise is not None and output.log_scale is not None:
        # The same images as a single process takes, where the world size divides their number.
        some = slice(max(1, NUM_MOMENT_IMAGES // dist.world_size))
        residuals = (images - output.decoder_output)[some]
        moments = model.noise.batch_moments(residuals, output.log_scale[some])
        count = torch.full_like(model.decoder_logvar, len(residuals))
        moments = dist.all_reduce_sum(count * moments) / dist.all_reduce_sum(count.clone())
        model.noise.moments.lerp_(moments, 1 - NOISE_EMA_DECAY)
    if model.likelihood != "gaussian" or loss.decoder_variance != "optimal":
        return model.decoder_logvar
    variance = dist.all_reduce_sum(share * optimal_variance(output.decoder_output, images))
    model.decoder_logvar.lerp_(variance.log(), 1 - NOISE_EMA_DECAY)
    return variance.log()


@torch.no_grad()
def update_average(state: TrainState) -> None:
    """Move the averaged weights towards the model's (Polyak & Juditsky 1992)."""
    if state.averaged is not state.model:
        averaged = list(state.averaged.state_dict().values())
        latest = list(state.model.state_dict().values())
        get_ema_multi_avg_fn(state.ema_decay)(averaged, latest, None)
