"""What a run is compared with: the baselines' figures, maps and features, as the baselines stage wrote them."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from pipeline import UserError
from pipeline.evaluation.samples import ReferenceFeatures
from pipeline.storage.reading import read_tensors
from pipeline.storage.reading import read_json


class Baselines(NamedTuple):
    """baselines.json, the mean training image and mean entropy map [C, H, W], and features of real images."""

    figures: dict[str, Any]
    mean: Tensor
    entropy: Tensor
    features: ReferenceFeatures


def read_baselines(folder: Path) -> Baselines:
    """UserError if they are missing or damaged."""
    figures = read_json(folder / "baselines.json")
    maps, features = read_tensors(folder / "mean.safetensors"), read_tensors(folder / "features.safetensors")
    try:
        return Baselines(figures, maps["mean"], maps["entropy"], ReferenceFeatures(features["test"], features["train"]))
    except KeyError as error:
        raise UserError(f"{folder} holds no usable baselines: {error} is missing; run `dvc repro baselines`") from None
