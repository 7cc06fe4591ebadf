"""Everything that changes while a run is trained, made before its first step."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.config.grid import RunConfig
from pipeline.config.recipe import TrainConfig
from pipeline.models.layers import init_weights
from pipeline.models.pca import fit_pca, init_from_pca
from pipeline.models.vae import VAE, Draws, VAEConfig, VAEOutput
from pipeline.training.distributed import SINGLE_PROCESS, DistributedContext

LINEAR_PATH_PREFIXES = ("encoder.linear.", "decoder.linear.")
NOISE_PREFIX = "noise."

LRScheduler = torch.optim.lr_scheduler.ReduceLROnPlateau | torch.optim.lr_scheduler.LambdaLR


@dataclass
class TrainState:
    """What a killed run needs to end with the same bytes.

    `history` has each epoch's metrics, `snapshots` what it made of the first validation images
    (uint8 [P, C, H, W]); `epoch_seconds` and `epoch_cpu_seconds` are how long each took, which
    alone differ between equal runs. `forward` is the model as a step calls it: compiled, or shared
    by the processes of `dist`. `averaged` has the moving average of the model's weights, or is the
    model: it is what is validated and kept. `ema_decay` is the average's, a step.
    `noise_parameters` are those of the decoder's noise, `parameters` the others.
    """

    model: VAE
    averaged: VAE
    ema_decay: float
    optimizer: torch.optim.Optimizer
    lr_scheduler: LRScheduler
    generator: torch.Generator
    forward: Callable[[Tensor, Draws], VAEOutput]
    dist: DistributedContext
    parameters: list[nn.Parameter]
    noise_parameters: list[nn.Parameter]
    history: list[dict[str, float]] = field(default_factory=list)
    snapshots: list[Tensor] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    epoch_cpu_seconds: list[float] = field(default_factory=list)


def build_train_state(
    run: RunConfig,
    image_shape: list[int],
    steps_per_epoch: int,
    device: torch.device,
    dist: DistributedContext = SINGLE_PROCESS,
) -> TrainState:
    """Build the state that a checkpoint, or else `init_weights_for_run`, then fills."""
    config = VAEConfig(
        image_shape=tuple(image_shape),
        latent_dim=run.latent_dim,
        likelihood=run.loss.likelihood,
        **run.model.model_dump(),
    )
    model = VAE(config)
    # torch's stubs lack the memory format.
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return make_train_state(model, run.train, steps_per_epoch, run.seed, dist)


def make_train_state(
    model: VAE,
    train: TrainConfig,
    steps_per_epoch: int,
    seed: int,
    dist: DistributedContext = SINGLE_PROCESS,
) -> TrainState:
    """Put optimizer, scheduler and generator beside a model.

    `seed` drives the order of the data, the augmentation and the noise.
    """
    named = list(model.named_parameters())
    linear = [p for name, p in named if name.startswith(LINEAR_PATH_PREFIXES)]
    rest = [p for name, p in named if not name.startswith(LINEAR_PATH_PREFIXES)]
    groups: list[dict[str, Any]] = [{"params": rest}]
    if linear:
        groups.append({"params": linear, "lr": train.learning_rate * train.linear_lr_scale})
    # foreach/fused implementations differ in rounding between devices, not between runs on one.
    optimizer = torch.optim.Adam(groups, lr=train.learning_rate, fused=True)
    half_life, total = train.ema_half_life, steps_per_epoch * train.epochs
    return TrainState(
        model=model,
        averaged=model if half_life is None else copy.deepcopy(model).eval(),
        ema_decay=0.0 if half_life is None else 0.5 ** (1 / (half_life * total)),
        optimizer=optimizer,
        lr_scheduler=make_lr_scheduler(optimizer, train, steps_per_epoch),
        generator=torch.Generator(generator_device(model, dist)).manual_seed(seed),
        forward=dist.wrap_ddp(torch.compile(model) if train.compile else model),
        dist=dist,
        parameters=[p for name, p in named if not name.startswith(NOISE_PREFIX)],
        noise_parameters=[p for name, p in named if name.startswith(NOISE_PREFIX)],
    )


def generator_device(model: VAE, dist: DistributedContext) -> torch.device:
    """Choose where a training draws: on the GPU that trains alone, so that none waits for numbers.

    Several processes must draw the same, whatever their GPUs.
    """
    device = model.decoder_logvar.device
    alone_on_gpu = device.type == "cuda" and dist.world_size == 1
    return device if alone_on_gpu else torch.device("cpu")


def make_lr_scheduler(
    optimizer: torch.optim.Optimizer, train: TrainConfig, steps_per_epoch: int
) -> LRScheduler:
    """Halve on a plateau of the validation loss; or warm up and follow half a cosine to zero."""
    config = train.lr_scheduler
    if config.name == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=config.factor, patience=config.patience
        )
    total = steps_per_epoch * train.epochs

    def factor(done: int) -> float:
        warmup = min(1.0, (done + 1) / config.warmup_steps)
        return warmup * 0.5 * (1 + math.cos(math.pi * min(done, total) / total))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def init_weights_for_run(state: TrainState, run: RunConfig, train_images: Tensor) -> None:
    """Draw a run's initial weights by its seed; a linear path starts as its images' components."""
    model = VAE(state.model.config)
    init_weights(model, torch.Generator().manual_seed(run.seed))
    if model.config.starts_from_pca:
        init_from_pca(model, fit_pca(train_images.cpu()))
    if isinstance(run.loss.decoder_variance, float):
        model.decoder_logvar.fill_(run.loss.decoder_variance).log_()
    state.model.load_state_dict(model.state_dict())
    state.averaged.load_state_dict(model.state_dict())
