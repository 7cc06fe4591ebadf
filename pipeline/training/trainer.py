"""Epochs of steps, their validation, and `fit`: a generator that yields each epoch's metrics."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline import UserError
from pipeline.config.grid import RunConfig
from pipeline.config.recipe import LossConfig
from pipeline.data.images import to_uint8
from pipeline.data.loader import shuffled_batches, to_float
from pipeline.models.vae import VAE
from pipeline.training.graph import Step, make_step
from pipeline.training.losses import elbo_terms
from pipeline.training.state import TrainState

# How many steps it takes at most until a diverged run is noticed. A GPU is asked once an epoch:
# the processor waits for an answer.
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
    step = make_step(state, run, data.train_images)
    for epoch in range(len(state.history) + 1, run.train.epochs + 1):
        # Train.
        start, cpu_start = time.perf_counter(), time.process_time()
        state.model.train()
        learning_rate = state.optimizer.param_groups[0]["lr"]
        metrics: dict[str, Any] = {"epoch": epoch}
        metrics |= train_epoch(step, on_step)
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


def train_epoch(step: Step, on_step: Callable[[], object] = lambda: None) -> dict[str, float]:
    """Take every training image once; returns means over the epoch's images.

    Raises UserError once the loss is seen not to be finite.
    """
    state, run, images = step.state, step.run, step.images
    epoch = len(state.history) + 1
    step.sums.zero_()
    batches = shuffled_batches(images, run.train.batch_size, state.generator)
    for number, index in enumerate(batches):
        step(index)
        if isinstance(state.lr_scheduler, torch.optim.lr_scheduler.LambdaLR):
            state.lr_scheduler.step()
        if images.device.type != "cuda" and number % FINITE_CHECK_INTERVAL == 0:
            check_finite(step.sums, epoch, number)
        on_step()
    check_finite(step.sums, epoch, number)
    values: list[float] = (state.dist.all_reduce_sum(step.sums) / len(images)).tolist()
    *means, grad_norm = values
    return loss_metrics("train", means, state.model) | {"grad_norm": grad_norm}


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
