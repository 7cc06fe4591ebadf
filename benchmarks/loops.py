"""Training loops that `make bench` compares, each run alone in a process on VAE_DEVICE.

`python -m benchmarks.loops NAME IMAGES [key=value ...]` prints one JSON object: images per second
of each epoch after the first, the last mean loss, peak memory in MiB (of the process, and of the
GPU), the first epoch's seconds.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import torch
from torch.nn import functional

from pipeline.config.grid import Config, RunConfig, deep_merge
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.data.dataset import load_dataset
from pipeline.data.loader import load_batch, shuffled_batches
from pipeline.models.strided_conv import Downsample, Upsample
from pipeline.models.vae import VAE, Draws, VAEConfig
from pipeline.storage.yaml_io import read_yaml
from pipeline.tracking.live_logger import mirror_training
from pipeline.training.device import get_device
from pipeline.training.graph import GraphedStep, make_step
from pipeline.training.state import build_train_state, init_weights_for_run
from pipeline.training.trainer import train_epoch
from pipeline.workflow.fingerprint import resolve_run_precision
from pipeline.workflow.train_run import steps_per_epoch

LATENT_DIM = 128
NUM_PCA_IMAGES = 2000
CPU = torch.device("cpu")

# Each epoch's mean loss; what is asked for is never the last.
Losses = Generator[float, None, None]
Changes = dict[str, str]


def load_images(count: int) -> torch.Tensor:
    """Take as many training images of CIFAR-10 as wanted, again from the first if too few."""
    images = torch.tensor(load_dataset(Path("data/cifar10")).train_images)
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count]


def make_run(changes: Changes) -> RunConfig:
    """Return the run `original`, its section `train` changed, for example by num_threads=2.

    `variant` and `latent_dim` name another cell of the grid.
    """
    read = {"true": True, "false": False}
    train = {
        key: read.get(value, int(value) if value.isdigit() else value)
        for key, value in changes.items()
    }
    latent_dim = int(train.pop("latent_dim", LATENT_DIM))
    variant = str(train.pop("variant", "original"))
    document = deep_merge(read_yaml(Path("params.yaml")), {"train": train})
    recipe = Config.model_validate(document).recipe(variant)
    run = RunConfig(variant=variant, latent_dim=latent_dim, seed=0, **dict(recipe))
    return resolve_run_precision(run)


def ours(count: int, changes: Changes) -> Losses:
    """Train epoch after epoch as the train stage does; `step` is eager, graph or compile."""
    kind = changes.pop("step", "graph")
    if kind == "compile":
        changes["compile"] = "true"
    run, images = make_run(changes), load_images(count).to(get_device())
    torch.set_num_threads(run.train.num_threads)
    steps = steps_per_epoch(count, run)
    state = build_train_state(run, list(images.shape[1:]), steps, images.device)
    init_weights_for_run(state, run, images[:NUM_PCA_IMAGES])
    state.model.train()
    step = make_step(state, run, images)
    if kind == "eager" and isinstance(step, GraphedStep):
        step = step.eager
    while True:
        yield train_epoch(step)["train_loss"]


def tracked(count: int, changes: Changes) -> Losses:
    """`ours`, mirrored to the tracker at MLFLOW_TRACKING_URI as the train stage does it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("params.yaml", folder)
        record = RunRecord(make_run(changes), "0" * 32, "0" * 64, "bench", Paths(Path(folder)))
        with mirror_training(record, []) as log:
            for epoch, loss in enumerate(ours(count, changes), start=1):
                log({"epoch": epoch, "train_loss": loss})
                yield loss


def textbook(count: int, changes: Changes) -> Losses:
    """What tutorials show: DataLoader, PIL transforms image by image, float32.

    The network, the loss and the optimizer are the same.
    """
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import transforms

    run, images = make_run({}), load_images(count)
    torch.manual_seed(run.seed)
    flip, crop = transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=4)
    transform = transforms.Compose([flip, crop, transforms.ToTensor()])
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, index: int) -> torch.Tensor:
            return transform(pictures[index])

    model = textbook_vae(run, tuple(images.shape[1:]))
    optimizer = torch.optim.Adam(model.parameters(), lr=run.train.learning_rate)
    batches = DataLoader(Pictures(), batch_size=run.train.batch_size, shuffle=True, num_workers=0)
    while True:
        total = 0.0
        for x in batches:
            output = model(x, Draws(torch.randn(len(x), run.latent_dim)))
            mu, logvar = output.posterior
            reconstruction = functional.binary_cross_entropy_with_logits(output.decoder_output, x)
            kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
            loss = reconstruction + kl
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), run.train.clip_grad_norm)
            optimizer.step()
            total += loss.item() * len(x)
        yield total / count


def textbook_vae(run: RunConfig, image_shape: tuple[int, ...]) -> VAE:
    """Return the run's network with PyTorch's own convolutions."""
    config = VAEConfig(image_shape, run.latent_dim, likelihood="bernoulli", **dict(run.model))
    model = VAE(config)
    for layer in model.modules():
        if isinstance(layer, Downsample | Upsample):
            layer.forward = super(type(layer), layer).forward  # type: ignore[method-assign]
    return model


def data_only(count: int, changes: Changes) -> Losses:
    """Only draw, augment and scale the batches of `ours`; yields the last one's mean pixel."""
    run, images = make_run(changes), load_images(count)
    generator = torch.Generator().manual_seed(0)
    torch.set_num_threads(run.train.num_threads)
    flip, crop_padding = run.train.augment.flip, run.train.augment.crop_padding
    while True:
        for index in shuffled_batches(images, run.train.batch_size, generator):
            last = load_batch(images, index, flip, crop_padding, generator)
        yield float(last.mean())


def peak(count: int, changes: Changes) -> Losses:
    """Yield the GFLOP/s of a matrix product, `side` wide, in the precision of `ours`."""
    side = int(changes.pop("side", "2048"))
    run, device = make_run(changes), get_device()
    torch.set_num_threads(run.train.num_threads)
    dtype = torch.bfloat16 if run.train.precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    while True:
        start = time.perf_counter()
        for _ in range(10):
            product = a @ b
        # A GPU is waited for.
        product[0, 0].item()
        yield 10 * 2 * side**3 / (time.perf_counter() - start) / 1e9


LOOPS: dict[str, Callable[[int, Changes], Losses]] = {
    "ours": ours,
    "tracked": tracked,
    "textbook": textbook,
    "data_only": data_only,
    "peak": peak,
}


def main() -> None:
    """Run the loop that the arguments name."""
    name, count, *words = sys.argv[1:]
    changes = dict(word.split("=") for word in words)
    epochs = int(changes.pop("epochs", 2))
    loop = LOOPS[name](int(count), changes)
    start = time.perf_counter()
    loss, speeds = next(loop), []
    first = time.perf_counter() - start
    for _ in range(epochs):
        start = time.perf_counter()
        loss = next(loop)
        speeds.append(int(count) / (time.perf_counter() - start))
    loop.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gpu_memory = torch.cuda.max_memory_reserved() / 2**20
    measured = {"speeds": speeds, "loss": loss, "memory": memory, "first": first}
    print(json.dumps(measured | {"gpu_memory": gpu_memory}))


if __name__ == "__main__":
    main()
