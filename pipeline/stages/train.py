"""Train one run: data/ -> models/<run>/."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pandas as pd
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.storage import atomic
from pipeline.training import checkpoint
from pipeline.storage.locks import run_lock
from pipeline.data import loader, dataset as dataset_files
from pipeline.workflow.fingerprint import fingerprint
from pipeline.config.system_info import system_summary, package_versions
from pipeline.config.schema import Config, RunConfig
from pipeline.config.paths import Paths
from pipeline.data.images import grid_png
from pipeline.training.distributed import init_distributed
from pipeline.training.device import get_device, resolve_precision
from pipeline.config.run_record import RunRecord
from pipeline.tracking.live_logger import mirror_training
from pipeline.training.trainer import NUM_SNAPSHOT_IMAGES, EpochResult, TrainState, init_weights_for_run, build_train_state, fit


class Job(NamedTuple):
    """One run ready to be trained: images uint8 [N, C, H, W], and its state before or between epochs."""

    tracked: RunRecord
    state: TrainState
    train_images: torch.Tensor
    validation_images: torch.Tensor


def main(run: RunConfig, params: Config, paths: Paths) -> None:
    job = prepare(run, params, paths)
    if job.state.team.rank > 0:
        follow(job)
        return
    with run_lock(paths.lock(job.tracked.fingerprint), run.name):
        with progress_bar() as bar:
            train(job, bar, lambda epoch: bar.console.print(describe(run, epoch), highlight=False, soft_wrap=True))
        save(job)
        checkpoint.delete_checkpoints(paths.checkpoint_dir(job.tracked.fingerprint))


def train_ahead(run: RunConfig, params: Config, paths: Paths, on_epoch: Callable[[EpochResult], object]) -> None:
    """Only train: the state of the last epoch stays for `main` to save."""
    job = prepare(run, params, paths)
    with run_lock(paths.lock(job.tracked.fingerprint), run.name):
        train(job, Progress(disable=True), on_epoch)


def prepare(run: RunConfig, params: Config, paths: Paths) -> Job:
    run = resolve_run_precision(run)
    recipe = run.recipe
    team, device = init_distributed(recipe.train.processes, get_device())
    # How a sum is split over threads decides its rounding: a run's bytes must not depend on what runs beside it.
    torch.set_num_threads(recipe.train.threads)
    dataset = dataset_files.load(paths.dataset(recipe.data.dataset))
    chosen, held_out = loader.train_val_split(len(dataset.train_images), recipe.data.validation, recipe.data.train_images)
    train_images = torch.from_numpy(dataset.train_images[chosen.numpy()]).to(device)
    validation_images = torch.from_numpy(dataset.train_images[held_out.numpy()]).to(device)
    state = build_train_state(run, list(train_images.shape[1:]), steps_per_epoch(train_images, run), device, team)
    tracked = RunRecord(run, run_fingerprint(run, dataset), dataset.sha256, params.tracking.experiment, paths)
    return Job(tracked, state, train_images, validation_images)


def resolve_run_precision(run: RunConfig) -> RunConfig:
    """The run with the precision that "auto" means here."""
    precision = resolve_precision(run.recipe.train.precision, get_device())
    train = run.recipe.train.model_copy(update={"precision": precision})
    return run.model_copy(update={"recipe": run.recipe.model_copy(update={"train": train})})


def run_fingerprint(run: RunConfig, dataset: dataset_files.Dataset) -> str:
    """The identity that training `run` here and now would have."""
    return fingerprint(resolve_run_precision(run), dataset.sha256, get_device().type, torch.__version__)


def steps_per_epoch(train_images: torch.Tensor, run: RunConfig) -> int:
    return -(-len(train_images) // run.recipe.train.batch_size)


def train(job: Job, bar: Progress, on_epoch: Callable[[EpochResult], object]) -> None:
    """Train from the last checkpoint or the start to the last epoch."""
    tracked, state = job.tracked, job.state
    run, epochs, folder = tracked.run, tracked.run.recipe.train.epochs, tracked.paths.checkpoint_dir(tracked.fingerprint)
    if start(job):
        print(f"{run.name}: resumed after epoch {len(state.history)}", flush=True)
    timing = folder / "timing.json"
    if len(state.history) == epochs and timing.exists():
        return  # trained ahead, and mirrored by whoever did it
    steps = steps_per_epoch(job.train_images, run)
    with mirror_training(tracked, state.history) as log:
        task = bar.add_task(run.name, total=epochs * steps, completed=len(state.history) * steps)
        for epoch in fitting(job, lambda: bar.advance(task)):
            state.seconds.append(epoch.seconds)
            state.cpu_seconds.append(epoch.cpu_seconds)
            checkpoint.save_checkpoint(folder, tracked.fingerprint, state)
            log(epoch.metrics | {"images_per_second": epoch.images_per_second})
            on_epoch(epoch)
    speeds = [len(job.train_images) / seconds for seconds in state.seconds]
    times = {"epoch_seconds": state.seconds, "epoch_cpu_seconds": state.cpu_seconds, "images_per_second": speeds}
    about = {"variant": run.variant, "latent_dim": run.latent_dim, "machine": system_summary(), "versions": package_versions()}
    atomic.write_json(timing, times | about)


def start(job: Job) -> bool:
    """Bring the state to the last checkpoint, or else to the run's start; whether there was a checkpoint."""
    tracked = job.tracked
    resumed = checkpoint.load_latest_checkpoint(tracked.paths.checkpoint_dir(tracked.fingerprint), tracked.fingerprint, job.state)
    if not resumed:
        init_weights_for_run(job.state, tracked.run, job.train_images)
    return resumed


def fitting(job: Job, on_step: Callable[[], object] = lambda: None) -> Iterator[EpochResult]:
    run = job.tracked.run
    arguments = (job.train_images, job.validation_images, run.recipe.objective, run.recipe.train, run.seed)
    return fit(job.state, *arguments, on_step=on_step)


def follow(job: Job) -> None:
    """Train as a further process of the run: the first one writes, shows and logs."""
    start(job)
    for _ in fitting(job):
        pass


def save(job: Job) -> None:
    tracked, state, run = job.tracked, job.state, job.tracked.run
    about = {"fingerprint": tracked.fingerprint, "dataset_sha256": tracked.dataset_sha256, "run": run.to_dict()}
    with atomic.folder(tracked.paths.model(run.name)) as folder:
        checkpoint.save_model(folder, state.model, about)
        atomic.write_text(folder / "history.csv", pd.DataFrame(state.history).to_csv(index=False))
        # A row of images as they are, then one for each epoch.
        rows = [job.validation_images[:NUM_SNAPSHOT_IMAGES].cpu(), *state.pictures]
        atomic.write_bytes(folder / "evolution.png", grid_png(torch.stack(rows).numpy()))


def describe(run: RunConfig, epoch: EpochResult) -> str:
    m = epoch.metrics
    return (
        f"{run.name} epoch {m['epoch']}/{run.recipe.train.epochs}: loss {m['train_total_loss']:.4f}, "
        f"reconstruction {m['train_reconstruction_per_dim']:.4f} nats/dim, KL {m['train_kl']:.4f} nats, "
        f"validation loss {m['validation_total_loss']:.4f}, {epoch.images_per_second:.0f} images/s"
    )


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("left"), TimeRemainingColumn())
