"""Sets of images judged by their features: reconstructions, each prior's samples, their novelty."""

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.config.schema import EvalConfig
from pipeline.evaluation.distances import ReferenceSet
from pipeline.evaluation.features import FeatureExtractor, extract_features

# Nearest training images are looked for of this many samples at most.
MAX_NEIGHBOR_QUERIES = 1_000


class ReferenceFeatures(NamedTuple):
    """Features [N, D] of test images and of as many training images."""

    test: Tensor
    train: Tensor


class NearestNeighbors(NamedTuple):
    """Nearest training image of each sample, by index, and the median distance ratio."""

    nearest: Tensor
    distance_ratio: float


def sample_metrics(
    reconstructions: Tensor,
    samples: dict[str, Tensor],
    reference: ReferenceFeatures,
    extractor: FeatureExtractor,
    config: EvalConfig,
) -> tuple[dict[str, float], str, NearestNeighbors]:
    """Measure uint8 reconstructions and each prior's uint8 samples against the test images.

    Returns the metrics, the prior of the least Frechet distance, and its samples' neighbors.
    """
    count = len(reference.test)
    metrics: dict[str, float] = {"num_feature_images": count}
    sets = {"reconstruction": reconstructions}
    sets |= {f"samples_{prior}": images for prior, images in samples.items()}
    features: dict[str, Tensor] = {}
    test = ReferenceSet(reference.test, config.seed)
    for name, images in sets.items():
        features[name] = extract_features(images[:count], extractor)
        metrics |= test.distances(features[name], name)
    best = min(samples, key=lambda prior: metrics[f"fd_samples_{prior}"])
    neighbors = nearest_training_images(features[f"samples_{best}"], reference)
    return metrics | {"nn_distance_ratio": neighbors.distance_ratio}, best, neighbors


def nearest_training_images(samples: Tensor, reference: ReferenceFeatures) -> NearestNeighbors:
    """Find the nearest training image of each sample, by Euclidean distance of features [N, D].

    The ratio is the samples' median distance over the test images'; well below 1 it would mean
    that samples copy training images.
    """
    queries = slice(MAX_NEIGHBOR_QUERIES)
    distance, nearest = torch.cdist(samples[queries], reference.train).min(1)
    usual, _ = torch.cdist(reference.test[queries], reference.train).min(1)
    return NearestNeighbors(nearest, float(distance.median() / usual.median()))
