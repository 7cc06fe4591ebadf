"""Train one run from its last checkpoint, mirror it to MLflow, save what it became."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline import UserError, first_line, is_out_of_memory
from pipeline.config.grid import Config, RunConfig
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.config.system_info import package_versions, system_summary
from pipeline.data.loader import load_split
from pipeline.storage import atomic
from pipeline.storage.locks import run_lock
from pipeline.storage.reading import read_json
from pipeline.tracking.live_logger import mirror_training
from pipeline.tracking.saved_changes import save_code
from pipeline.training import checkpoint
from pipeline.training.device import get_device
from pipeline.training.distributed import init_distributed
from pipeline.training.state import TrainState, build_train_state, init_weights_for_run
from pipeline.training.trainer import EpochResult, TrainData, fit
from pipeline.workflow.fingerprint import resolve_run_precision, run_fingerprint
from pipeline.workflow.progress import on_terminal

logger = logging.getLogger(__name__)


class PreparedRun(NamedTuple):
    """Which run it is, its state before or between epochs, and its images."""

    record: RunRecord
    state: TrainState
    data: TrainData


def train_and_show(prepared: PreparedRun) -> None:
    """Train a run to its last epoch, with a bar and a line for each epoch."""
    run = prepared.record.run
    with make_progress() as bar:
        train(prepared, bar, lambda epoch: _say(bar, format_epoch(run, epoch)))
    require_same_run(prepared.record)


def train_to_last_checkpoint(
    run: RunConfig, config: Config, paths: Paths, on_epoch: Callable[[EpochResult], object]
) -> None:
    """Only train: the last epoch's checkpoint stays for the stage `train` to take up."""
    prepared = setup(run, config, paths)
    with run_lock(paths.lock(prepared.record.fingerprint), run.name):
        train(prepared, Progress(disable=True), on_epoch)


def train_ahead(run: RunConfig, config: Config, paths: Paths) -> None:
    """Train ahead of DVC and without its lock, beside any number of other runs, on any node.

    What the stage `train` has saved already is not trained again.
    """
    prepared = setup(run, config, paths)
    fingerprint = prepared.record.fingerprint
    if prepared.state.dist.rank > 0:
        run_non_zero_rank(prepared)
    elif is_saved(paths, run.name, fingerprint):
        logger.info("%s is trained and saved in %s", run.name, paths.model(run.name))
    else:
        with run_lock(paths.lock(fingerprint), run.name):
            train_and_show(prepared)
        logger.info("%s is trained; `dvc repro` on such a machine saves it", run.name)


def is_saved(paths: Paths, name: str, fingerprint: str) -> bool:
    """Tell whether the model folder holds this very training."""
    description = paths.model(name) / "model.json"
    return description.exists() and read_json(description).get("fingerprint") == fingerprint


def setup(run: RunConfig, config: Config, paths: Paths) -> PreparedRun:
    """Load a run's images and build its untrained state."""
    run = resolve_run_precision(run)
    dist, device = init_distributed(run.train.world_size, get_device())
    # How a sum is split over threads decides its rounding: a run's bytes must not depend on what
    # runs beside it.
    torch.set_num_threads(run.train.num_threads)
    dataset, train_idx, val_idx = load_split(run.data, paths)
    run.require_fit(len(train_idx), dataset.train_images.shape[1:])
    data = TrainData(
        torch.from_numpy(dataset.train_images[train_idx]).to(device),
        torch.from_numpy(dataset.train_images[val_idx]).to(device),
    )
    image_shape = list(data.train_images.shape[1:])
    steps = steps_per_epoch(len(data.train_images), run)
    record = RunRecord(
        run=run,
        fingerprint=run_fingerprint(run, dataset.sha256),
        dataset_sha256=dataset.sha256,
        experiment=config.tracking.experiment,
        paths=paths,
    )
    return PreparedRun(record, build_train_state(run, image_shape, steps, device, dist), data)


def steps_per_epoch(num_images: int, run: RunConfig) -> int:
    """Count an epoch's batches, the last and smaller one among them."""
    return -(-num_images // run.train.batch_size)


def resume_or_init(prepared: PreparedRun) -> bool:
    """Bring the state to its last checkpoint, or else to the start; tell whether there was one."""
    record, state, data = prepared
    folder = record.paths.checkpoint_dir(record.fingerprint)
    resumed = checkpoint.load_latest_checkpoint(folder, record.fingerprint, state)
    if not resumed:
        init_weights_for_run(state, record.run, data.train_images)
    return resumed


def train(prepared: PreparedRun, bar: Progress, on_epoch: Callable[[EpochResult], object]) -> None:
    """Train from the last checkpoint or the start to the last epoch."""
    record, state, data = prepared
    run, epochs = record.run, record.run.train.epochs
    folder = record.paths.checkpoint_dir(record.fingerprint)
    resumed = resume_or_init(prepared)
    if resumed:
        logger.info("%s: resumed after epoch %d", run.name, len(state.history))
    timing = folder / "timing.json"
    if len(state.history) == epochs and timing.exists():
        # Trained ahead, and mirrored by whoever did it.
        return
    save_code(record, resumed)
    steps = steps_per_epoch(len(data.train_images), run)
    with mirror_training(record, state.history) as log, explain_compiler(run):
        done = len(state.history) * steps
        task = bar.add_task(run.name, total=epochs * steps, completed=done)
        for epoch in fit(state, run, data, on_step=lambda: bar.advance(task)):
            checkpoint.save_checkpoint(folder, record.fingerprint, state)
            log(epoch.metrics | {"images_per_second": epoch.images_per_second})
            on_epoch(epoch)
    atomic.write_json(timing, training_times(prepared))


def require_same_run(record: RunRecord) -> None:
    """Raise UserError if params.yaml or the code have come to say another run of that name.

    Its checkpoints stay: put back what was changed, and nothing is trained again.
    """
    run, config = record.run, load_config(record.paths.params)
    if run.variant in config.variants:
        cell = {"variant": run.variant, "latent_dim": run.latent_dim, "seed": run.seed}
        listed = RunConfig(**cell, **dict(config.recipe(run.variant)))
        found = run_fingerprint(listed, record.dataset_sha256)
    else:
        found = None
    if found != record.fingerprint:
        raise UserError(
            f"params.yaml or the code changed while {run.name} was trained, so that it would be "
            "taken for another run; what was trained is kept: put the change back to have it, or "
            "run again to train what is there now"
        )


@contextmanager
def explain_compiler(run: RunConfig) -> Iterator[None]:
    """Turn pages of torch.compile into a line. Nothing is trained uncompiled: other bytes."""
    try:
        yield
    except RuntimeError as error:
        if not run.train.compile or not _of_compiler(error) or is_out_of_memory(error):
            raise
        raise UserError(
            "train.compile is true, but torch.compile does not work here "
            f"({first_line(error)[:150]}); set train.compile: false, or install a C++ compiler "
            "(g++) and Python's headers"
        ) from None


def _of_compiler(error: BaseException) -> bool:
    modules = [kind.__module__ for kind in type(error).__mro__]
    return any(module.startswith(("torch._dynamo", "torch._inductor")) for module in modules)


def training_times(prepared: PreparedRun) -> dict[str, object]:
    """Say how long each epoch took, of what, on which machine."""
    record, state, data = prepared
    return {
        "epoch_seconds": state.epoch_seconds,
        "epoch_cpu_seconds": state.epoch_cpu_seconds,
        "images_per_second": [len(data.train_images) / s for s in state.epoch_seconds],
        "variant": record.run.variant,
        "latent_dim": record.run.latent_dim,
        "machine": system_summary(),
        "versions": package_versions(),
    }


def run_non_zero_rank(prepared: PreparedRun) -> None:
    """Train as a further process of the run: rank 0 writes, shows and logs."""
    resume_or_init(prepared)
    for _ in fit(prepared.state, prepared.record.run, prepared.data):
        pass


def format_epoch(run: RunConfig, epoch: EpochResult) -> str:
    """Say an epoch in one line."""
    m = epoch.metrics
    return (
        f"{run.name} epoch {m['epoch']}/{run.train.epochs}: loss {m['train_loss']:.4f}, "
        f"reconstruction {m['train_reconstruction_per_dim']:.4f} nats/dim, "
        f"KL {m['train_kl']:.4f} nats, val loss {m['val_loss']:.4f}, "
        f"{epoch.images_per_second:.0f} images/s"
    )


def make_progress() -> Progress:
    """Make the bar of one training; in a log its epochs' lines say enough."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        disable=not on_terminal(),
    )


def _say(bar: Progress, line: str) -> None:
    bar.console.print(line, highlight=False, soft_wrap=True)
