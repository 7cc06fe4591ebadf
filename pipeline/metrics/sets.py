"""Sets of images judged by their features: reconstructions, each prior's samples, and how new the samples are."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline import StudyError
from pipeline.metrics.distances import distances
from pipeline.metrics.features import Extract, features
from pipeline.params import Evaluate

PRIORS = ("normal", "gmm", "second_stage")
NEIGHBOURS_OF = 1_000


class References(NamedTuple):
    """Features [N, D] of test images and of as many training images."""

    test: Tensor
    train: Tensor


class Neighbours(NamedTuple):
    """Nearest training image of each sample, by index, and the median distance relative to the test images'."""

    nearest: Tensor
    distance_ratio: float


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file; StudyError if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StudyError(f"{path} is missing or damaged: {error}; run `dvc repro`") from None


def set_figures(
    reconstructions: Tensor, drawn: dict[str, Tensor], references: References, extract: Extract, chosen: Evaluate
) -> tuple[dict[str, float], str, Neighbours]:
    """Distances of uint8 reconstructions and of each prior's uint8 samples from the test images.

    With them the prior of the least Fréchet distance, and its samples' neighbours.
    """
    figures: dict[str, float] = {"feature_images": len(references.test)}
    found: dict[str, Tensor] = {}
    for name, images in {"reconstruction": reconstructions, **drawn}.items():
        found[name] = features(images[: len(references.test)], extract)
        figures |= distances(references.test, found[name], name, chosen.seed)
    best = min(drawn, key=lambda prior: figures[f"fd_{prior}"])
    neighbours = nearest_training_images(found[best], references)
    return figures | {"neighbour_distance_ratio": neighbours.distance_ratio}, best, neighbours


def nearest_training_images(samples: Tensor, references: References) -> Neighbours:
    """By Euclidean distance of features. A ratio well below 1 would mean that samples copy training images."""
    distance, nearest = torch.cdist(samples[:NEIGHBOURS_OF], references.train).min(1)
    usual, _ = torch.cdist(references.test[:NEIGHBOURS_OF], references.train).min(1)
    return Neighbours(nearest, float(distance.median() / usual.median()))
