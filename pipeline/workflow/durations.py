"""How long a stage will take: as earlier runs did, or as one training step does here."""

import time
from functools import cache
from heapq import heappop, heappush
from statistics import mean

from pipeline.config.grid import Config, RunConfig
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json

# Images of the step that is timed where a variant was never trained.
TIMED_IMAGES = 16


def estimate_seconds(stage: str, config: Config, paths: Paths) -> float | None:
    """Take this very stage's last time, else the mean of its kind; None if there is neither."""
    kind, _, run = stage.partition("@")
    if kind == "train":
        return training_seconds(run, config, paths)
    own = paths.duration(stage)
    times = [own] if own.exists() else sorted(own.parent.glob(f"{kind}*.json"))
    known = [float(read_json(path)["seconds"]) for path in times]
    return mean(known) if known else None


def training_seconds(name: str, config: Config, paths: Paths) -> float | None:
    """Multiply epochs by the seconds of one: of this variant and size, or of this variant.

    Of a variant that was never trained here a step is timed; None where its images are not known.
    """
    run = config.run(name)
    known: dict[str | None, list[float]] = {}
    for path in sorted(paths.checkpoints.glob("*/timing.json")):
        timing = read_json(path)
        seconds = mean(timing["epoch_seconds"])
        cell = f"{timing.get('variant')}-{timing.get('latent_dim')}"
        for key in (cell, timing.get("variant")):
            known.setdefault(key, []).append(seconds)
    for key in (f"{run.variant}-{run.latent_dim}", run.variant):
        if key in known:
            return run.train.epochs * mean(known[key])
    shape = image_shape(paths, run.data.dataset)
    if shape is None:
        return None
    val_size, train_size = run.data.split_sizes(shape[0])
    num_images = min(shape[0] - val_size, train_size or shape[0])
    like = next(other for other in config.runs if other.variant == run.variant)
    return run.train.epochs * num_images * seconds_an_image(like.model_dump_json(), shape[1:])


def image_shape(paths: Paths, dataset: str) -> tuple[int, ...] | None:
    """Return [N, C, H, W] of the fetched training images; None before they are there."""
    description = paths.dataset(dataset) / "dataset.json"
    return tuple(read_json(description)["train_images"]) if description.exists() else None


@cache
def seconds_an_image(run_json: str, shape: tuple[int, ...]) -> float:
    """Take two training steps of a run, written as JSON, on images [C, H, W]; time the second."""
    import torch

    from pipeline.training.device import get_device
    from pipeline.training.state import build_train_state
    from pipeline.training.step import TrainStep
    from pipeline.workflow.fingerprint import resolve_run_precision

    run, device = resolve_run_precision(RunConfig.model_validate_json(run_json)), get_device()
    torch.set_num_threads(run.train.num_threads)
    images = torch.zeros(TIMED_IMAGES, *shape, dtype=torch.uint8, device=device)
    state = build_train_state(run, list(shape), 1, device)
    step = TrainStep(state, run, images)
    index = torch.arange(TIMED_IMAGES, device=device)
    for _ in range(2):
        start = time.perf_counter()
        step(index)
        step.sums.tolist()  # waits for a GPU
    return (time.perf_counter() - start) / TIMED_IMAGES


def side_by_side_seconds(
    seconds: dict[str, float], needs: dict[str, list[str]], jobs: int
) -> float:
    """Say how long stages take together, `jobs` at once, each when what it needs is done.

    Trainings start first. What is needed and has no `seconds` is there already.
    """
    waiting = dict(seconds)
    running: list[tuple[float, str]] = []
    now, undone = 0.0, set(seconds)
    while undone:
        ready = [name for name in waiting if not undone.intersection(needs[name])]
        ready.sort(key=lambda name: not name.startswith("train@"))
        for name in ready[: jobs - len(running)]:
            heappush(running, (now + waiting.pop(name), name))
        now, name = heappop(running)
        undone.remove(name)
    return now


def format_duration(seconds: float | None) -> str:
    """Say a duration in minutes and seconds."""
    if seconds is None:
        return "never timed"
    minutes, rest = divmod(round(seconds), 60)
    return f"about {minutes} min {rest} s" if minutes else f"about {rest} s"
