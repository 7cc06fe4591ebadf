"""One step, the validation, and `fit`: a generator that yields each epoch's metrics."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline import UserError
from pipeline.config.grid import RunConfig
from pipeline.config.recipe import LossConfig
from pipeline.data.images import to_uint8
from pipeline.data.loader import iter_batches, to_float
from pipeline.models.noise import NUM_MOMENT_IMAGES
from pipeline.models.vae import VAE, VAEOutput
from pipeline.training.losses import ELBOTerms, elbo_terms, optimal_variance
from pipeline.training.state import TrainState

# How fast the stored variance follows the batches' optimal one: an average over about 100 steps.
NOISE_EMA_DECAY = 0.99
# Looking at a value on a GPU waits for it; this often a diverged run is noticed.
FINITE_CHECK_INTERVAL = 10
EVAL_BATCH_SIZE = 500
# How many validation images show what each epoch has learned.
NUM_SNAPSHOT_IMAGES = 8


class TrainData(NamedTuple):
    """Images of one run, uint8 [N, C, H, W], on the device that trains it."""

    train_images: Tensor
    val_images: Tensor


class EpochResult(NamedTuple):
    """Metrics of one epoch, which repeat themselves, and its times, which do not."""

    metrics: dict[str, float]
    seconds: float
    cpu_seconds: float
    images_per_second: float


def fit(
    state: TrainState,
    run: RunConfig,
    data: TrainData,
    on_step: Callable[[], object] = lambda: None,
) -> Iterator[EpochResult]:
    """Train up to the run's last epoch from wherever `state` is.

    Yields after each epoch, when `state` is consistent. UserError if the training diverges.
    """
    for epoch in range(len(state.history) + 1, run.train.epochs + 1):
        # Train.
        start, cpu_start = time.perf_counter(), time.process_time()
        state.model.train()
        learning_rate = state.optimizer.param_groups[0]["lr"]
        metrics: dict[str, Any] = {"epoch": epoch}
        metrics |= train_epoch(state, run, data.train_images, on_step)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start

        # Validate.
        metrics |= validate(state.averaged.eval(), data.val_images, run.loss, run.seed, "val")
        metrics["learning_rate"] = learning_rate
        if isinstance(state.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            state.lr_scheduler.step(metrics["val_loss"])

        # Record.
        state.history.append(metrics)
        shown = data.val_images[:NUM_SNAPSHOT_IMAGES]
        state.snapshots.append(reconstruct(state.averaged, shown, run.seed))
        state.epoch_seconds.append(seconds)
        state.epoch_cpu_seconds.append(cpu_seconds)
        yield EpochResult(metrics, seconds, cpu_seconds, len(data.train_images) / seconds)


def train_epoch(
    state: TrainState, run: RunConfig, images: Tensor, on_step: Callable[[], object]
) -> dict[str, float]:
    """Take every training image once; returns means over the epoch's images.

    Raises UserError as soon as the loss is not finite.
    """
    dist, augment = state.dist, run.train.augment
    precise = torch.float32 if images.device.type == "mps" else torch.float64
    sums = torch.zeros(6, dtype=precise, device=images.device)
    batches = iter_batches(
        images, run.train.batch_size, augment.flip, augment.crop_padding, state.generator
    )
    for number, x in enumerate(batches):
        terms, watched = train_step(state, run, x)
        batch_means = [*(term.detach().mean() for term in terms), *watched.values()]
        sums += torch.stack(batch_means).to(precise) * len(dist.shard(x))
        if number % FINITE_CHECK_INTERVAL == 0:
            check_finite(sums, len(state.history) + 1, number)
        on_step()
    check_finite(sums, len(state.history) + 1, number)
    values: list[float] = (dist.all_reduce_sum(sums) / len(images)).tolist()
    *means, grad_norm = values
    return loss_metrics("train", means, state.model) | {"grad_norm": grad_norm}


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
    if isinstance(state.lr_scheduler, torch.optim.lr_scheduler.LambdaLR):
        state.lr_scheduler.step()
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


@torch.no_grad()
def validate(
    model: VAE, images: Tensor, loss: LossConfig, seed: int, prefix: str
) -> dict[str, float]:
    """Average each term over all images (uint8, not augmented), one z an image, nats per image."""
    generator = torch.Generator().manual_seed(seed)
    # On the CPU: Apple's MPS has no float64.
    sums = torch.zeros(5, dtype=torch.float64)
    for part in images.split(EVAL_BATCH_SIZE):
        x = to_float(part)
        output = model(x, model.draw(len(x), generator).map(lambda part: part.to(images.device)))
        terms = elbo_terms(model, output, x, loss.reduction, loss.beta, model.decoder_logvar)
        values = [*terms, *(moment.mean(1) for moment in output.posterior)]
        sums += torch.stack([value.sum() for value in values]).cpu().double()
    return loss_metrics(prefix, (sums / len(images)).tolist(), model)


def loss_metrics(prefix: str, means: list[float], model: VAE) -> dict[str, float]:
    """Give the five means the keys that CSV, JSON, MLflow and the report share."""
    loss, reconstruction, kl, mu_mean, logvar_mean = means
    has_elbo = model.likelihood != "flow"
    return {
        f"{prefix}_loss": loss,
        f"{prefix}_reconstruction": reconstruction,
        f"{prefix}_reconstruction_per_dim": reconstruction / math.prod(model.image_shape),
        f"{prefix}_kl": kl,
        **({f"{prefix}_negative_elbo": reconstruction + kl} if has_elbo else {}),
        f"{prefix}_mu_mean": mu_mean,
        f"{prefix}_logvar_mean": logvar_mean,
    }


@torch.no_grad()
def reconstruct(model: VAE, images: Tensor, seed: int) -> Tensor:
    """Decode the mu of images uint8 [B, C, H, W]; uint8 of the same shape, on the CPU.

    A flow always starts from the noise of this seed.
    """
    mu = model.encode(to_float(images)).mu
    noise = model.draw_noise(len(mu), torch.Generator().manual_seed(seed))
    return torch.from_numpy(to_uint8(model.to_images(mu, noise).cpu().numpy()))


def check_finite(sums: Tensor, epoch: int, step: int) -> None:
    """Raise UserError if the loss or its gradient has become nan or infinite."""
    if not bool(torch.isfinite(sums).all()):
        raise UserError(
            f"training diverged: the loss or its gradient is nan or infinite at epoch {epoch}, "
            f"by step {step}; lower train.learning_rate or train.clip_grad_norm"
        )
