"""Train one run: data/ -> models/<run>/."""

import pandas as pd
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline import atomic, checkpoint
from pipeline.alone import alone
from pipeline.data import batches, datasets
from pipeline.fingerprint import fingerprint
from pipeline.params import Params, Run
from pipeline.paths import Paths
from pipeline.tracking.live import training_run
from pipeline.tracking.store import Identity
from pipeline.training import Epoch, State, begin, blank, choose_device, fit


def main(run: Run, params: Params, paths: Paths) -> None:
    recipe, device = run.recipe, choose_device()
    dataset = datasets.load(paths.dataset(recipe.data.dataset))
    chosen, held_out = batches.split(len(dataset.train_images), recipe.data.validation, recipe.data.train_images)
    train_images = torch.from_numpy(dataset.train_images[chosen.numpy()]).to(device)
    validation_images = torch.from_numpy(dataset.train_images[held_out.numpy()]).to(device)

    steps = -(-len(train_images) // recipe.train.batch_size)
    state = blank(run, list(train_images.shape[1:]), steps, device)
    identity = fingerprint(run, dataset.sha256, device.type, torch.get_num_threads(), torch.__version__)
    tracked = Identity(run, identity, dataset.sha256, params.tracking.experiment, paths)
    with alone(paths.lock(identity), run.name):
        train(tracked, state, train_images, validation_images)


def train(tracked: Identity, state: State, train_images: torch.Tensor, validation_images: torch.Tensor) -> None:
    """Train from the last checkpoint or the start to the end, and save the model."""
    run, recipe = tracked.run, tracked.run.recipe
    folder = tracked.paths.state(tracked.fingerprint)
    if checkpoint.resume(folder, tracked.fingerprint, state):
        print(f"{run.name}: resumed after epoch {len(state.history)}", flush=True)
    else:
        begin(state, run, train_images)
    steps = -(-len(train_images) // recipe.train.batch_size)
    with progress_bar() as bar, training_run(tracked, state.history) as log:
        task = bar.add_task(run.name, total=recipe.train.epochs * steps, completed=len(state.history) * steps)
        arguments = (train_images, validation_images, recipe.objective, recipe.train, run.seed)
        for epoch in fit(state, *arguments, on_step=lambda: bar.advance(task)):
            state.seconds.append(epoch.seconds)
            checkpoint.save_state(folder, tracked.fingerprint, state)
            log(epoch.metrics | {"images_per_second": epoch.images_per_second})
            bar.console.print(describe(run, epoch), highlight=False, soft_wrap=True)
        save(tracked, state)
    speeds = [len(train_images) / seconds for seconds in state.seconds]
    atomic.write_json(folder / "timing.json", {"epoch_seconds": state.seconds, "images_per_second": speeds})
    checkpoint.forget_states(folder)


def save(tracked: Identity, state: State) -> None:
    run = tracked.run
    about = {"fingerprint": tracked.fingerprint, "dataset_sha256": tracked.dataset_sha256, "run": run.described()}
    with atomic.folder(tracked.paths.model(run.name)) as folder:
        checkpoint.save_model(folder, state.model, about)
        atomic.write_text(folder / "history.csv", pd.DataFrame(state.history).to_csv(index=False))


def describe(run: Run, epoch: Epoch) -> str:
    m = epoch.metrics
    return (
        f"{run.name} epoch {m['epoch']}/{run.recipe.train.epochs}: loss {m['train_total_loss']:.4f}, "
        f"reconstruction {m['train_reconstruction_per_dim']:.4f} nats/dim, KL {m['train_kl']:.4f} nats, "
        f"validation loss {m['validation_total_loss']:.4f}, {epoch.images_per_second:.0f} images/s"
    )


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("left"), TimeRemainingColumn())
