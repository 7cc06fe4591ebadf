"""Features are deterministic, their extractor named; neighbors show if samples copy images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import UserError
from pipeline.config.schema import EvalConfig
from pipeline.evaluation.features import extract_features, load_feature_extractor
from pipeline.evaluation.samples import (
    ImageSets,
    ReferenceFeatures,
    nearest_training_images,
    sample_metrics,
)
from pipeline.storage.reading import read_tensors
from pipeline.storage.yaml_io import read_yaml

CPU = torch.device("cpu")


def test_features_of_color_and_gray_images_are_the_same_twice(small_images: np.ndarray) -> None:
    images = torch.from_numpy(small_images[:6])
    extract = load_feature_extractor("efficientnet-lite0", None, CPU)
    first = extract_features(images, extract)
    assert first.shape == (6, 1280)
    again = load_feature_extractor("efficientnet-lite0", None, CPU)
    assert torch.equal(first, extract_features(images, again))
    later = extract_features(images[3:], extract)
    assert torch.allclose(first[3:], later, atol=1e-4), "not of the batch"
    gray = images[:, :1]
    of_colors = extract_features(gray.expand(-1, 3, -1, -1), extract)
    assert torch.allclose(extract_features(gray, extract), of_colors)


def test_equal_images_are_looked_at_once_and_every_image_has_its_features() -> None:
    images = torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2)[[2, 0, 2, 1, 1, 2]]
    seen = []

    def extractor(part: torch.Tensor) -> torch.Tensor:
        seen.append(len(part))
        return part[:, 0].flatten(1).float()

    assert torch.equal(extract_features(images, extractor), images.flatten(1).float())
    assert sum(seen) == 3


def test_inception_without_its_weights_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate\.feature_extractor_weights: there is no file"):
        load_feature_extractor("inception", str(tmp_path / "none.pth"), CPU)
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    with pytest.raises(UserError, match="the Inception weights cannot be had"):
        load_feature_extractor("inception", str(tmp_path / "broken.pth"), CPU)


def test_copies_of_training_images_are_noticed() -> None:
    generator = torch.Generator().manual_seed(0)
    train, test, new = torch.randn(3, 200, 16, generator=generator)
    found = nearest_training_images(train[:50] + 1e-3, ReferenceFeatures(test, train, test))
    assert found.nearest.tolist() == list(range(50))
    assert found.distance_ratio < 0.05
    novel = nearest_training_images(new, ReferenceFeatures(test, train, test))
    assert novel.distance_ratio == pytest.approx(1, abs=0.1)


def test_a_damaged_file_of_samples_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.safetensors"
    path.write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"samples\.safetensors cannot be used: .*dvc repro"):
        read_tensors(path)


def test_the_best_prior_is_chosen_on_validation_images() -> None:
    """Of two priors each matches one of two sets; the one of the validation images is taken."""
    generator = torch.Generator().manual_seed(0)

    def drawn(brightness: int) -> torch.Tensor:
        return brightness + torch.randint(0, 20, (40, 3, 32, 32), generator=generator).byte()

    def brightness(images: torch.Tensor) -> torch.Tensor:
        return images.float().mean((2, 3))

    sets = ImageSets(
        test=drawn(200),
        reconstruction=drawn(200),
        samples={"normal": drawn(200), "gmm": drawn(100)},
        null_code=drawn(0)[:1],
    )
    reference = ReferenceFeatures(
        brightness(sets.test), brightness(drawn(200)), brightness(drawn(100))
    )
    config = read_yaml(Path("params.yaml"))["evaluate"]
    metrics, best, _ = sample_metrics(sets, reference, brightness, EvalConfig(**config))
    assert best == metrics["best_prior"] == "gmm"
    assert metrics["fd_samples"] == metrics["fd_samples_gmm"] == pytest.approx(3e4, rel=0.01)
    assert metrics["val_fd_samples_gmm"] < 10 < metrics["val_fd_samples_normal"]
    assert metrics["fd_null_code"] == pytest.approx(3 * 200**2, rel=0.01)
