"""How long a stage will take, from the times of earlier runs."""

from statistics import mean

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json


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
    """Multiply epochs by the seconds of one: of this variant and size, this variant, or any."""
    run = config.run(name)
    known: dict[str | None, list[float]] = {}
    for path in sorted(paths.checkpoints.glob("*/timing.json")):
        timing = read_json(path)
        seconds = mean(timing["epoch_seconds"])
        cell = f"{timing.get('variant')}-{timing.get('latent_dim')}"
        for key in (cell, timing.get("variant"), ""):
            known.setdefault(key, []).append(seconds)
    for key in (f"{run.variant}-{run.latent_dim}", run.variant, ""):
        if key in known:
            return run.train.epochs * mean(known[key])
    return None


def format_duration(seconds: float | None) -> str:
    """Say a duration in minutes and seconds."""
    if seconds is None:
        return "never timed"
    minutes, rest = divmod(round(seconds), 60)
    return f"about {minutes} min {rest} s" if minutes else f"about {rest} s"
