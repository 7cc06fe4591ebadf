"""One step, the validation, and `fit`: a generator that yields each epoch's metrics and a resumable state."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from pipeline import StudyError
from pipeline.data import batches
from pipeline.model.blocks import initialise
from pipeline.model.pca import fit_pca, start_from_pca
from pipeline.model.vae import VAE, Output
from pipeline.objective import Terms, optimal_colour, optimal_variance, terms
from pipeline.params import Objective, Run, Train
from pipeline.pictures import to_uint8
from pipeline.processes import ALONE, Team

# How fast the stored variance follows the batches' optimal one: an average over about 100 steps.
VARIANCE_MOMENTUM = 0.99
# Looking at a value on a GPU waits for it; this often a diverged run is noticed.
CHECK_EVERY = 10
LINEAR_PATH = ("project.", "restore.")
VALIDATION_BATCH = 500
# How many validation images show what each epoch has learnt.
PICTURED = 8


Scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau | torch.optim.lr_scheduler.LambdaLR


@dataclass
class State:
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
    forward: Callable[[Tensor, Tensor], Output]
    team: Team


class Epoch(NamedTuple):
    """Metrics of one epoch (deterministic), and what its training steps took (not): time, and time of this process."""

    metrics: dict[str, float]
    seconds: float
    cpu_seconds: float
    images_per_second: float


def blank(run: Run, image_shape: list[int], steps: int, device: torch.device, team: Team = ALONE) -> State:
    """The state that a run's training of `steps` steps an epoch fills: from a checkpoint, or by `begin`."""
    recipe = run.recipe
    model = VAE(image_shape, run.latent_dim, likelihood=recipe.objective.likelihood, **recipe.model.model_dump())
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return new_state(model, recipe.train, steps, run.seed, team)


def new_state(model: VAE, train: Train, steps: int, seed: int, team: Team = ALONE) -> State:
    """An untrained state; `seed` drives the order of the data, the augmentation and the noise."""
    linear = [p for name, p in model.named_parameters() if name.startswith(LINEAR_PATH)]
    rest = [p for name, p in model.named_parameters() if not name.startswith(LINEAR_PATH)]
    groups: list[dict[str, Any]] = [{"params": rest}]
    if linear:
        groups.append({"params": linear, "lr": train.learning_rate * train.linear_rate})
    # foreach/fused implementations differ in rounding between devices, not between runs on one.
    optimizer = torch.optim.Adam(groups, lr=train.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(seed)
    scheduler = new_scheduler(optimizer, train, steps)
    forward = team.wrapped(torch.compile(model) if train.compile else model)
    return State(model, optimizer, scheduler, generator, [], [], [], [], forward, team)


def new_scheduler(optimizer: torch.optim.Optimizer, train: Train, steps: int) -> Scheduler:
    """Halve on a plateau of the validation loss; or a linear warm-up and half a cosine to zero, step by step."""
    chosen = train.scheduler
    if chosen.kind == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=chosen.factor, patience=chosen.patience)
    total = steps * train.epochs

    def factor(done: int) -> float:
        return min(1.0, (done + 1) / chosen.warmup) * 0.5 * (1 + math.cos(math.pi * min(done, total) / total))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def begin(state: State, run: Run, train_images: Tensor) -> State:
    """A run before its first step: initial weights by its seed and, with a linear path, its images' components."""
    model = VAE(**state.model.architecture)
    initialise(model, torch.Generator().manual_seed(run.seed))
    if model.linear_path:
        start_from_pca(model, fit_pca(train_images.cpu()))
    if isinstance(run.recipe.objective.variance, float):
        model.log_variance.fill_(run.recipe.objective.variance).log_()
    state.model.load_state_dict(model.state_dict())
    return state


def step(state: State, images: Tensor, objective: Objective, train: Train) -> tuple[Terms, dict[str, Tensor]]:
    """One optimiser step on images [B, C, H, W] in [0, 1]; the terms and what else is watched, as tensors.

    Of several processes each gets the whole batch, and returns the values of its part.
    """
    model, team, size = state.model, state.team, len(images)
    noise = torch.randn(size, model.latent_dim, generator=state.generator).to(images.device)
    images, noise = team.mine(images), team.mine(noise)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
        output = state.forward(images, noise)
    log_variance = _follow_noise(model, output, images, objective, len(images) / size, team)
    loss = terms(model, output, images, objective.reduction, objective.beta, log_variance)
    state.optimizer.zero_grad()
    # Gradients are averaged over the processes: their sum over the batch needs the team's size back.
    (loss.total_loss.sum() * (team.size / size)).backward()
    grad_norm = clip_grad_norm_(model.parameters(), train.clip_grad_norm)
    state.optimizer.step()
    if isinstance(state.scheduler, torch.optim.lr_scheduler.LambdaLR):
        state.scheduler.step()
    watched = {"mu_mean": output.mu.mean(), "logvar_mean": output.logvar.mean(), "grad_norm": grad_norm}
    return loss, {name: value.detach() for name, value in watched.items()}


@torch.no_grad()
def _follow_noise(model: VAE, output: Output, images: Tensor, objective: Objective, share: float, team: Team) -> Tensor:
    """The Gaussian variance of this step; the stored ones follow their optimum and are what evaluation uses.

    `images` are this `share` of the batch, for which the optimum is the mean over all processes.
    """
    if output.log_scale is not None:
        colour = team.total(share * optimal_colour(images - output.decoded, output.log_scale))
        model.colour.lerp_(colour, 1 - VARIANCE_MOMENTUM)
    if model.likelihood != "gaussian" or objective.variance != "optimal":
        return model.log_variance
    log_variance = team.total(share * optimal_variance(output.decoded, images)).log()
    model.log_variance.lerp_(log_variance, 1 - VARIANCE_MOMENTUM)
    return log_variance


@torch.no_grad()
def validate(model: VAE, images: Tensor, objective: Objective, seed: int, prefix: str) -> dict[str, float]:
    """Means over all images (uint8, not augmented) of each term, one posterior sample an image, nats per image."""
    generator = torch.Generator().manual_seed(seed)
    sums = torch.zeros(5, dtype=torch.float64)  # on the CPU: Apple's MPS has no float64
    for part in images.split(VALIDATION_BATCH):
        x = batches.scaled(part)
        noise = torch.randn(len(x), model.latent_dim, generator=generator).to(x.device)
        output = model(x, noise)
        loss = terms(model, output, x, objective.reduction, objective.beta, model.log_variance)
        means = [*loss, output.mu.mean(1), output.logvar.mean(1)]
        sums += torch.stack([value.sum() for value in means]).cpu().double()
    return _named(prefix, (sums / len(images)).tolist(), images[0].numel())


def _named(prefix: str, means: list[float], size: int) -> dict[str, float]:
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
    state: State, images: Tensor, objective: Objective, train: Train, on_step: Callable[[], object]
) -> dict[str, float]:
    """Every training image once; means over the epoch's images. StudyError as soon as the loss is not finite."""
    precise = torch.float32 if images.device.type == "mps" else torch.float64
    sums = torch.zeros(6, dtype=precise, device=images.device)
    augment = train.augment
    team = state.team
    stream = batches.shuffled(images, train.batch_size, augment.flip, augment.crop_padding, state.generator)
    for number, x in enumerate(stream):
        loss, watched = step(state, x, objective, train)
        values = [*(term.detach().mean() for term in loss), *watched.values()]
        sums += torch.stack(values).to(precise) * len(team.mine(x))
        if number % CHECK_EVERY == 0:
            _require_finite(sums, len(state.history) + 1, number)
        on_step()
    _require_finite(sums, len(state.history) + 1, number)
    *means, grad_norm = (team.total(sums) / len(images)).tolist()
    return _named("train", means, images[0].numel()) | {"grad_norm": grad_norm}


def fit(
    state: State,
    train_images: Tensor,
    validation_images: Tensor,
    objective: Objective,
    train: Train,
    seed: int,
    on_step: Callable[[], object] = lambda: None,
) -> Iterator[Epoch]:
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
            state.scheduler.step(metrics["validation_total_loss"])
        state.history.append(metrics)
        state.pictures.append(reconstructed(state.model, validation_images[:PICTURED]))
        yield Epoch(metrics, seconds, cpu_seconds, len(train_images) / seconds)


@torch.no_grad()
def reconstructed(model: VAE, images: Tensor) -> Tensor:
    """Images uint8 [B, C, H, W] by way of their mu."""
    predicted = model.pixel_means(model.decode(model.encode(batches.scaled(images))[0]))
    return torch.from_numpy(to_uint8(predicted.cpu().numpy()))


def _require_finite(sums: Tensor, epoch: int, number: int) -> None:
    if not bool(torch.isfinite(sums).all()):
        raise StudyError(
            f"training diverged: the loss or its gradient is nan or infinite at epoch {epoch}, by step {number}; "
            "lower train.learning_rate or train.clip_grad_norm"
        )
