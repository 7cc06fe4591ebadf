"""Sets of images judged by their features: reconstructions, each prior's samples, their novelty."""

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.config.schema import EvalConfig
from pipeline.evaluation.distances import FeatureSet, distances, frechet_distance
from pipeline.evaluation.features import FeatureExtractor, extract_features
from pipeline.evaluation.patches import patch_distance

# Nearest training images are looked for of this many samples at most.
MAX_NEIGHBOR_QUERIES = 1_000
# What the best prior's samples score, under a name of its own.
OF_BEST_PRIOR = ("fd", "precision", "recall", "coverage", "patch_fd")


class ReferenceFeatures(NamedTuple):
    """Features [N, D] of test images, of as many training images, of the validation images."""

    test: Tensor
    train: Tensor
    val: Tensor


class ImageSets(NamedTuple):
    """Uint8 images [N, C, H, W]: real ones, what a model makes of them, draws from each prior.

    `null_code` has what the decoder makes of z = 0, one image if that is always the same.
    """

    test: Tensor
    reconstruction: Tensor
    samples: dict[str, Tensor]
    null_code: Tensor


class NearestNeighbors(NamedTuple):
    """Nearest training image of each sample, by index, and the median distance ratio."""

    nearest: Tensor
    distance_ratio: float


def sample_metrics(
    sets: ImageSets, reference: ReferenceFeatures, extractor: FeatureExtractor, config: EvalConfig
) -> tuple[dict[str, float | str], str, NearestNeighbors]:
    """Measure reconstructions and each prior's samples against the test images.

    Returns the metrics, the best prior, and its samples' neighbors. The best is that of the least
    Frechet distance to *validation* images: a choice among several by the test images would make
    their distance an optimistic one.
    """
    count = len(reference.test)
    metrics: dict[str, float | str] = {"num_feature_images": count}
    drawn = {f"samples_{prior}": images for prior, images in sets.samples.items()}
    measured: dict[str, FeatureSet] = {}
    test, val = (FeatureSet(each, config.seed) for each in (reference.test, reference.val))
    for name, images in ({"reconstruction": sets.reconstruction} | drawn).items():
        measured[name] = FeatureSet(extract_features(images[:count], extractor), config.seed)
        metrics |= distances(test, measured[name], name)
        metrics[f"patch_fd_{name}"] = patch_distance(sets.test[:count], images[:count])
    null_code = extract_features(sets.null_code[:count], extractor)
    # Of one image alone there is no covariance; of the same one twice it is zero.
    alone = null_code.expand(2, -1) if len(null_code) == 1 else null_code
    metrics["fd_null_code"] = frechet_distance(test, FeatureSet(alone))

    # The best prior.
    on_val = {prior: frechet_distance(val, measured[f"samples_{prior}"]) for prior in sets.samples}
    best = min(on_val, key=lambda prior: on_val[prior])
    metrics |= {f"val_fd_samples_{prior}": distance for prior, distance in on_val.items()}
    metrics["best_prior"] = best
    for measure in OF_BEST_PRIOR:
        metrics[f"{measure}_samples"] = metrics[f"{measure}_samples_{best}"]
    neighbors = nearest_training_images(measured[f"samples_{best}"].features, reference)
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
