"""Train one run: data/ -> models/<run>/."""

import pandas as pd
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline import atomic, checkpoint
from pipeline.data import batches, datasets
from pipeline.fingerprint import fingerprint
from pipeline.model.blocks import initialise
from pipeline.model.pca import fit_pca, start_from_pca
from pipeline.model.vae import VAE
from pipeline.params import Params, Run
from pipeline.paths import Paths
from pipeline.stages import start_run
from pipeline.tracking.live import training_run
from pipeline.tracking.store import Identity
from pipeline.training import Epoch, State, choose_device, fit, new_state


def main(run: Run, params: Params, paths: Paths) -> None:
    recipe, device = run.recipe, choose_device()
    dataset = datasets.load(paths.dataset(recipe.data.dataset))
    chosen, held_out = batches.split(len(dataset.train_images), recipe.data.validation, recipe.data.train_images)
    train_images = torch.from_numpy(dataset.train_images[chosen.numpy()]).to(device)
    validation_images = torch.from_numpy(dataset.train_images[held_out.numpy()]).to(device)

    state = untrained(run, train_images, device)
    identity = fingerprint(run, dataset.sha256, device.type, torch.__version__)
    folder = paths.state(identity)
    if checkpoint.resume(folder, identity, state):
        print(f"{run.name}: resumed after epoch {len(state.history)}", flush=True)

    tracked = Identity(run, identity, dataset.sha256, params.tracking.experiment, paths)
    steps = -(-len(train_images) // recipe.train.batch_size)
    with progress_bar() as bar, training_run(tracked, state.history) as log:
        task = bar.add_task(run.name, total=recipe.train.epochs * steps, completed=len(state.history) * steps)
        arguments = (train_images, validation_images, recipe.objective, recipe.train, run.seed)
        for epoch in fit(state, *arguments, on_step=lambda: bar.advance(task)):
            state.seconds.append(epoch.seconds)
            checkpoint.save_state(folder, identity, state)
            log(epoch.metrics | {"images_per_second": epoch.images_per_second})
            bar.console.print(describe(run, epoch), highlight=False, soft_wrap=True)
        save(tracked, state)
    speeds = [len(train_images) / seconds for seconds in state.seconds]
    atomic.write_json(folder / "timing.json", {"epoch_seconds": state.seconds, "images_per_second": speeds})
    checkpoint.forget_states(folder)


def untrained(run: Run, train_images: torch.Tensor, device: torch.device) -> State:
    recipe, image_shape = run.recipe, list(train_images.shape[1:])
    architecture = (image_shape, run.latent_dim, recipe.model.channels, recipe.objective.likelihood)
    model = VAE(*architecture, linear_path=recipe.model.linear_path)
    initialise(model, torch.Generator().manual_seed(run.seed))
    if recipe.model.linear_path:
        start_from_pca(model, fit_pca(train_images.cpu()))
    if isinstance(recipe.objective.variance, float):
        model.log_variance.fill_(recipe.objective.variance).log_()
    return new_state(model.to(device, memory_format=torch.channels_last), recipe.train, run.seed)  # type: ignore[call-overload]  # missing in torch's stubs


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


if __name__ == "__main__":
    start_run(main)
