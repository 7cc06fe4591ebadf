"""Features are deterministic and their extractor named; neighbours show whether samples copy training images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline.evaluation.extract_features import extract_features, load_feature_extractor

from pipeline import UserError
from pipeline.evaluation.samples import ReferenceFeatures, nearest_training_images
from pipeline.storage.reading import read_tensors


def test_features_of_colour_and_grey_images_are_the_same_twice(small_images: np.ndarray) -> None:
    images = torch.from_numpy(small_images[:6])
    extract = load_feature_extractor("efficientnet-lite0", None)
    first = extract_features(images, extract)
    assert first.shape == (6, 1280)
    assert torch.equal(
        first, extract_features(images, load_feature_extractor("efficientnet-lite0", None))
    )
    assert torch.allclose(first[3:], extract_features(images[3:], extract), atol=1e-4), (
        "not of the batch"
    )
    grey = images[:, :1]
    assert torch.allclose(
        extract_features(grey, extract), extract_features(grey.expand(-1, 3, -1, -1), extract)
    )


def test_inception_without_its_weights_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate\.extractor_weights: there is no file"):
        load_feature_extractor("inception", str(tmp_path / "none.pth"))
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    with pytest.raises(UserError, match="the Inception weights cannot be had"):
        load_feature_extractor("inception", str(tmp_path / "broken.pth"))


def test_copies_of_training_images_are_noticed() -> None:
    generator = torch.Generator().manual_seed(0)
    train, test, new = torch.randn(3, 200, 16, generator=generator)
    found = nearest_training_images(train[:50] + 1e-3, ReferenceFeatures(test, train))
    assert found.nearest.tolist() == list(range(50))
    assert found.distance_ratio < 0.05
    assert nearest_training_images(
        new, ReferenceFeatures(test, train)
    ).distance_ratio == pytest.approx(1, abs=0.1)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "drawn.safetensors").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"drawn\.safetensors is missing or damaged"):
        read_tensors(tmp_path / "drawn.safetensors")
