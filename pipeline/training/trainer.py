"""One step, the validation, and `fit`: a generator that yields each epoch's metrics and a resumable state."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from pipeline import UserError
from pipeline.data import loader
from pipeline.models.layers import init_weights
from pipeline.models.pca import fit_pca, init_from_pca
from pipeline.models.vae import VAE, VAEOutput
from pipeline.training.losses import ELBOTerms, optimal_channel_cov, optimal_variance, elbo_terms
from pipeline.config.schema import LossConfig, RunConfig, TrainConfig
from pipeline.data.images import to_uint8
from pipeline.training.distributed import SINGLE_PROCESS, DistributedContext

# How fast the stored variance follows the batches' optimal one: an average over about 100 steps.
NOISE_EMA_DECAY = 0.99
# Looking at a value on a GPU waits for it; this often a diverged run is noticed.
FINITE_CHECK_INTERVAL = 10
LINEAR_PATH_PREFIXES = ("project.", "restore.")
EVAL_BATCH_SIZE = 500
# How many validation images show what each epoch has learnt.
NUM_SNAPSHOT_IMAGES = 8


Scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau | torch.optim.lr_scheduler.LambdaLR


@dataclass
class TrainState:
    """Everything that changes while training: what a killed run needs to end with the same bytes.

    `history` has each epoch's metrics, `pictures` what it made of the first validation images (uint8 [P, C, H, W]);
    `seconds` and `cpu_seconds` are how long each took, which alone differ between equal runs. `forward` is the model
    as a step calls it: compiled, or shared by the processes of `team`.
    """

    model: VAE
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    generator: torch.Generator
    history: list[dict[str, float]]
    pictures: list[Tensor]
    seconds: list[float]
    cpu_seconds: list[float]
    forward: Callable[[Tensor, Tensor], VAEOutput]
    team: DistributedContext


class EpochResult(NamedTuple):
    """Metrics of one epoch (deterministic), and what its training steps took (not): time, and time of this process."""

    metrics: dict[str, float]
    seconds: float
    cpu_seconds: float
    images_per_second: float


def build_train_state(run: RunConfig, image_shape: list[int], steps: int, device: torch.device, team: DistributedContext = SINGLE_PROCESS) -> TrainState:
    """The state that a run's training of `steps` steps an epoch fills: from a checkpoint, or by `begin`."""
    recipe = run.recipe
    model = VAE(image_shape, run.latent_dim, likelihood=recipe.objective.likelihood, **recipe.model.model_dump())
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return make_train_state(model, recipe.train, steps, run.seed, team)


def make_train_state(model: VAE, train: TrainConfig, steps: int, seed: int, team: DistributedContext = SINGLE_PROCESS) -> TrainState:
    """An untrained state; `seed` drives the order of the data, the augmentation and the noise."""
    linear = [p for name, p in model.named_parameters() if name.startswith(LINEAR_PATH_PREFIXES)]
    rest = [p for name, p in model.named_parameters() if not name.startswith(LINEAR_PATH_PREFIXES)]
    groups: list[dict[str, Any]] = [{"params": rest}]
    if linear:
        groups.append({"params": linear, "lr": train.learning_rate * train.linear_rate})
    # foreach/fused implementations differ in rounding between devices, not between runs on one.
    optimizer = torch.optim.Adam(groups, lr=train.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(seed)
    scheduler = make_lr_scheduler(optimizer, train, steps)
    forward = team.wrapped(torch.compile(model) if train.compile else model)
    return TrainState(model, optimizer, scheduler, generator, [], [], [], [], forward, team)


def make_lr_scheduler(optimizer: torch.optim.Optimizer, train: TrainConfig, steps: int) -> Scheduler:
    """Halve on a plateau of the validation loss; or a linear warm-up and half a cosine to zero, step by step."""
    chosen = train.scheduler
    if chosen.kind == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=chosen.factor, patience=chosen.patience)
    total = steps * train.epochs

    def factor(done: int) -> float:
        return min(1.0, (done + 1) / chosen.warmup) * 0.5 * (1 + math.cos(math.pi * min(done, total) / total))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def init_weights_for_run(state: TrainState, run: RunConfig, train_images: Tensor) -> TrainState:
    """A run before its first step: initial weights by its seed and, with a linear path, its images' components."""
    model = VAE(**state.model.architecture)
    init_weights(model, torch.Generator().manual_seed(run.seed))
    if model.linear_path:
        init_from_pca(model, fit_pca(train_images.cpu()))
    if isinstance(run.recipe.objective.variance, float):
        model.log_variance.fill_(run.recipe.objective.variance).log_()
    state.model.load_state_dict(model.state_dict())
    return state


def train_step(state: TrainState, images: Tensor, objective: LossConfig, train: TrainConfig) -> tuple[ELBOTerms, dict[str, Tensor]]:
    """One optimiser step on images [B, C, H, W] in [0, 1]; the terms and what else is watched, as tensors.

    Of several processes each gets the whole batch, and returns the values of its part.
    """
    model, team, size = state.model, state.team, len(images)
    noise = torch.randn(size, model.latent_dim, generator=state.generator).to(images.device)
    images, noise = team.mine(images), team.mine(noise)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
        output = state.forward(images, noise)
    log_variance = update_noise_estimates(model, output, images, objective, len(images) / size, team)
    loss = elbo_terms(model, output, images, objective.reduction, objective.beta, log_variance)
    state.optimizer.zero_grad()
    # Gradients are averaged over the processes: their sum over the batch needs the team's size back.
    (loss.total_loss.sum() * (team.size / size)).backward()
    grad_norm = clip_grad_norm_(model.parameters(), train.clip_grad_norm)
    state.optimizer.train_step()
    if isinstance(state.scheduler, torch.optim.lr_scheduler.LambdaLR):
        state.scheduler.train_step()
    watched = {"mu_mean": output.mu.mean(), "logvar_mean": output.logvar.mean(), "grad_norm": grad_norm}
    return loss, {name: value.detach() for name, value in watched.items()}


@torch.no_grad()
def update_noise_estimates(model: VAE, output: VAEOutput, images: Tensor, objective: LossConfig, share: float, team: DistributedContext) -> Tensor:
    """The Gaussian variance of this step; the stored ones follow their optimum and are what evaluation uses.

    `images` are this `share` of the batch, for which the optimum is the mean over all processes.
    """
    if output.log_scale is not None:
        colour = team.total(share * optimal_channel_cov(images - output.decoded, output.log_scale))
        model.colour.lerp_(colour, 1 - NOISE_EMA_DECAY)
    if model.likelihood != "gaussian" or objective.variance != "optimal":
        return model.log_variance
    log_variance = team.total(share * optimal_variance(output.decoded, images)).log()
    model.log_variance.lerp_(log_variance, 1 - NOISE_EMA_DECAY)
    return log_variance


@torch.no_grad()
def validate(model: VAE, images: Tensor, objective: LossConfig, seed: int, prefix: str) -> dict[str, float]:
    """Means over all images (uint8, not augmented) of each term, one posterior sample an image, nats per image."""
    generator = torch.Generator().manual_seed(seed)
    sums = torch.zeros(5, dtype=torch.float64)  # on the CPU: Apple's MPS has no float64
    for part in images.split(EVAL_BATCH_SIZE):
        x = loader.to_float(part)
        noise = torch.randn(len(x), model.latent_dim, generator=generator).to(x.device)
        output = model(x, noise)
        loss = elbo_terms(model, output, x, objective.reduction, objective.beta, model.log_variance)
        means = [*loss, output.mu.mean(1), output.logvar.mean(1)]
        sums += torch.stack([value.sum() for value in means]).cpu().double()
    return loss_metrics(prefix, (sums / len(images)).tolist(), images[0].numel())


def loss_metrics(prefix: str, means: list[float], size: int) -> dict[str, float]:
    """The five means under the names that CSV, JSON, MLflow and the report share."""
    total_loss, reconstruction, kl, mu_mean, logvar_mean = means
    return {
        f"{prefix}_total_loss": total_loss,
        f"{prefix}_reconstruction": reconstruction,
        f"{prefix}_reconstruction_per_dim": reconstruction / size,
        f"{prefix}_kl": kl,
        f"{prefix}_negative_elbo": reconstruction + kl,
        f"{prefix}_mu_mean": mu_mean,
        f"{prefix}_logvar_mean": logvar_mean,
    }


def train_epoch(
    state: TrainState, images: Tensor, objective: LossConfig, train: TrainConfig, on_step: Callable[[], object]
) -> dict[str, float]:
    """Every training image once; means over the epoch's images. UserError as soon as the loss is not finite."""
    precise = torch.float32 if images.device.type == "mps" else torch.float64
    sums = torch.zeros(6, dtype=precise, device=images.device)
    augment = train.augment
    team = state.team
    stream = loader.iter_batches(images, train.batch_size, augment.flip, augment.crop_padding, state.generator)
    for number, x in enumerate(stream):
        loss, watched = train_step(state, x, objective, train)
        values = [*(term.detach().mean() for term in loss), *watched.values()]
        sums += torch.stack(values).to(precise) * len(team.mine(x))
        if number % FINITE_CHECK_INTERVAL == 0:
            check_finite(sums, len(state.history) + 1, number)
        on_step()
    check_finite(sums, len(state.history) + 1, number)
    *means, grad_norm = (team.total(sums) / len(images)).tolist()
    return loss_metrics("train", means, images[0].numel()) | {"grad_norm": grad_norm}


def fit(
    state: TrainState,
    train_images: Tensor,
    validation_images: Tensor,
    objective: LossConfig,
    train: TrainConfig,
    seed: int,
    on_step: Callable[[], object] = lambda: None,
) -> Iterator[EpochResult]:
    """Train up to `train.epochs` from wherever `state` is; yields after each epoch, when `state` is consistent."""
    for epoch in range(len(state.history) + 1, train.epochs + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        state.model.train()
        learning_rate = state.optimizer.param_groups[0]["lr"]
        metrics: dict[str, Any] = {"epoch": epoch}
        metrics |= train_epoch(state, train_images, objective, train, on_step)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        state.model.eval()
        metrics |= validate(state.model, validation_images, objective, seed, "validation")
        metrics["learning_rate"] = learning_rate
        if isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            state.scheduler.train_step(metrics["validation_total_loss"])
        state.history.append(metrics)
        state.pictures.append(reconstruct(state.model, validation_images[:NUM_SNAPSHOT_IMAGES]))
        yield EpochResult(metrics, seconds, cpu_seconds, len(train_images) / seconds)


@torch.no_grad()
def reconstruct(model: VAE, images: Tensor) -> Tensor:
    """Images uint8 [B, C, H, W] by way of their mu."""
    predicted = model.to_pixels(model.decode(model.encode(loader.to_float(images))[0]))
    return torch.from_numpy(to_uint8(predicted.cpu().numpy()))


def check_finite(sums: Tensor, epoch: int, number: int) -> None:
    if not bool(torch.isfinite(sums).all()):
        raise UserError(
            f"training diverged: the loss or its gradient is nan or infinite at epoch {epoch}, by step {number}; "
            "lower train.learning_rate or train.clip_grad_norm"
        )
