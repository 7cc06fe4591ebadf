"""Training loops that `make bench` compares, each run alone in a process: `bench_loops.py NAME IMAGES [key=value ...]`.

Prints one JSON object: images per second of each epoch after the first, the last mean loss, peak memory in MiB.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn import functional

from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.config.schema import RunConfig, deep_merge
from pipeline.data import dataset as dataset_files
from pipeline.data import loader
from pipeline.models.strided_conv import Downsample, Upsample
from pipeline.models.vae import VAE
from pipeline.stages.train import resolve_run_precision, steps_per_epoch
from pipeline.storage.yaml_io import read_yaml
from pipeline.tracking.live_logger import mirror_training
from pipeline.training.trainer import build_train_state, init_weights_for_run, train_epoch

LATENT_DIM = 128


def images(count: int) -> torch.Tensor:
    """As many training images of CIFAR-10 as wanted, again from the first where there are fewer."""
    whole = torch.tensor(dataset_files.load_config(Path("data/cifar10")).train_images)
    return whole.repeat(-(-count // len(whole)), 1, 1, 1)[:count]


def reference(changes: dict[str, str]) -> RunConfig:
    """The reference run, with its `train` section changed, for example by threads=2."""
    read = {"true": True, "false": False}
    train = {
        key: read.get(value, int(value) if value.isdigit() else value)
        for key, value in changes.items()
    }
    latent_dim, variant = (
        int(train.pop("latent_dim", LATENT_DIM)),
        str(train.pop("variant", "reference")),
    )
    document = deep_merge(read_yaml(Path("params.yaml")), {"train": train})
    params = type(load_config()).model_validate(document)
    return resolve_run_precision(
        RunConfig(variant=variant, latent_dim=latent_dim, seed=0, recipe=params.recipe(variant))
    )


def ours(count: int, changes: dict[str, str]) -> Iterator[float]:
    """One epoch after the other as the train stage does them; yields each one's mean loss."""
    run = reference(changes)
    torch.set_num_threads(run.recipe.train.threads)
    data = images(count)
    state = build_train_state(
        run, list(data.shape[1:]), steps_per_epoch(data, run), torch.device("cpu")
    )
    init_weights_for_run(state, run, data[:2000])
    state.model.train()
    while True:
        yield train_epoch(state, data, run.recipe.objective, run.recipe.train, lambda: None)[
            "train_total_loss"
        ]


def tracked(count: int, changes: dict[str, str]) -> Iterator[float]:
    """`ours`, mirrored to the tracker at MLFLOW_TRACKING_URI as the train stage does it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("params.yaml", folder)
        record = RunRecord(reference(changes), "0" * 32, "0" * 64, "bench", Paths(Path(folder)))
        with mirror_training(record, []) as log:
            for number, loss in enumerate(ours(count, changes), start=1):
                log({"epoch": number, "train_total_loss": loss})
                yield loss


def textbook(count: int, changes: dict[str, str]) -> Iterator[float]:
    """What tutorials show: DataLoader, PIL transforms image by image, float32; the same network, loss and optimiser."""
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import transforms

    run, data = reference({}), images(count)
    torch.manual_seed(run.seed)
    steps = [
        transforms.RandomHorizontalFlip(),
        transforms.RandomCrop(32, padding=4),
        transforms.ToTensor(),
    ]
    transform = transforms.Compose(steps)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in data]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, index: int) -> torch.Tensor:
            return transform(pictures[index])

    model = VAE(
        list(data.shape[1:]),
        run.latent_dim,
        likelihood="bernoulli",
        **run.recipe.model.model_dump(),
    )
    # The same weights through PyTorch's own convolutions.
    for layer in (*model.encoder, *model.decoder):
        if isinstance(layer, Downsample | Upsample):
            layer.forward = super(type(layer), layer).forward  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(model.parameters(), lr=run.recipe.train.learning_rate)
    loader = DataLoader(
        Pictures(), batch_size=run.recipe.train.batch_size, shuffle=True, num_workers=0
    )
    while True:
        total = 0.0
        for x in loader:
            output = model(x, torch.randn(len(x), run.latent_dim))
            reconstruction = functional.binary_cross_entropy_with_logits(output.decoded, x)
            kl = -0.5 * (1 + output.logvar - output.mu.square() - output.logvar.exp()).sum(1).mean()
            loss = reconstruction + kl
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), run.recipe.train.clip_grad_norm)
            optimizer.step()
            total += loss.item() * len(x)
        yield total / count


def data_only(count: int, changes: dict[str, str]) -> Iterator[float]:
    """Only the batches of `ours`: drawn, augmented and scaled."""
    run, generator = reference(changes), torch.Generator().manual_seed(0)
    torch.set_num_threads(run.recipe.train.threads)
    data, train = images(count), run.recipe.train
    while True:
        for x in loader.iter_batches(
            data, train.batch_size, train.augment.flip, train.augment.crop_padding, generator
        ):
            last = x
        yield float(last.mean())


def peak(count: int, changes: dict[str, str]) -> Iterator[float]:
    """GFLOP/s of a matrix product in the precision that `ours` computes in; the loss is that figure."""
    run = reference(changes)
    torch.set_num_threads(run.recipe.train.threads)
    kind = torch.bfloat16 if run.recipe.train.precision == "bf16" else torch.float32
    a, b = torch.randn(2048, 2048).to(kind), torch.randn(2048, 2048).to(kind)
    while True:
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        yield 10 * 2 * 2048**3 / (time.perf_counter() - start) / 1e9


LOOPS: dict[str, Callable[[int, dict[str, str]], Iterator[float]]] = {
    "ours": ours, "tracked": tracked, "textbook": textbook, "data_only": data_only, "peak": peak,
}  # fmt: skip  # a short table


def main() -> None:
    name, count, *changes = sys.argv[1:]
    given = dict(change.split("=") for change in changes)
    epochs = int(given.pop("epochs", 2))
    loop = LOOPS[name](int(count), given)
    start = time.perf_counter()
    loss, speeds = next(loop), []
    first = time.perf_counter() - start
    for _ in range(epochs):
        start = time.perf_counter()
        loss = next(loop)
        speeds.append(int(count) / (time.perf_counter() - start))
    loop.close()  # type: ignore[attr-defined]  # a generator
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"speeds": speeds, "loss": loss, "memory": memory, "first": first}))


if __name__ == "__main__":
    main()
