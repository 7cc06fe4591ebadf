"""Sets of images judged by their features: reconstructions, each prior's samples, and how new the samples are."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline import UserError
from pipeline.evaluation.distances import distances
from pipeline.evaluation.extract_features import FeatureExtractor, extract_features
from pipeline.config.schema import EvalConfig

PRIORS = ("normal", "gmm", "second_stage")
NEIGHBOURS_OF = 1_000


class ReferenceFeatures(NamedTuple):
    """Features [N, D] of test images and of as many training images."""

    test: Tensor
    train: Tensor


class NearestNeighbors(NamedTuple):
    """Nearest training image of each sample, by index, and the median distance relative to the test images'."""

    nearest: Tensor
    distance_ratio: float


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file; UserError if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is missing or damaged: {error}; run `dvc repro`") from None


def sample_metrics(
    reconstructions: Tensor, drawn: dict[str, Tensor], references: ReferenceFeatures, extract: FeatureExtractor, chosen: EvalConfig
) -> tuple[dict[str, float], str, NearestNeighbors]:
    """Distances of uint8 reconstructions and of each prior's uint8 samples from the test images.

    With them the prior of the least Fréchet distance, and its samples' neighbours.
    """
    figures: dict[str, float] = {"feature_images": len(references.test)}
    found: dict[str, Tensor] = {}
    for name, images in {"reconstruction": reconstructions, **drawn}.items():
        found[name] = extract_features(images[: len(references.test)], extract)
        figures |= distances(references.test, found[name], name, chosen.seed)
    best = min(drawn, key=lambda prior: figures[f"fd_{prior}"])
    neighbors = nearest_training_images(found[best], references)
    return figures | {"neighbour_distance_ratio": neighbors.distance_ratio}, best, neighbors


def nearest_training_images(samples: Tensor, references: ReferenceFeatures) -> NearestNeighbors:
    """By Euclidean distance of features. A ratio well below 1 would mean that samples copy training images."""
    distance, nearest = torch.cdist(samples[:NEIGHBOURS_OF], references.train).min(1)
    usual, _ = torch.cdist(references.test[:NEIGHBOURS_OF], references.train).min(1)
    return NearestNeighbors(nearest, float(distance.median() / usual.median()))
