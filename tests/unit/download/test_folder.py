"""A folder's dataset follows from its images alone; what cannot be used is said."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_images import picture, write_broken, write_images, write_rubbish
from PIL import Image

from pipeline import UserError
from pipeline.config.data import DataConfig
from pipeline.download.folder import read_folder, require_folder

OWN = DataConfig(dataset="folder", val_size=5000, train_size=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 images of two classes, with rubbish between them."""
    folder = tmp_path_factory.mktemp("own")
    write_images(folder, 70, classes=2)
    write_rubbish(folder)
    return folder


def test_it_is_split_by_the_shares_and_has_its_classes(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        dataset = read_folder(folder, OWN)
    assert dataset.name == "folder"
    assert dataset.train_images.shape == (50, 3, 32, 32)
    assert dataset.test_images.shape == (20, 3, 32, 32)
    labels = [*dataset.train_labels, *dataset.test_labels]
    assert [labels.count(0), labels.count(1)] == [35, 35]
    for said in ("70 color images, of which 20 test, 20 validate and 30 train", "class 0 35"):
        assert said in caplog.text
    assert "Not images: 1 files (.txt 1)" in caplog.text
    larger = OWN.model_copy(update={"image_size": 64, "test_size": 0.4})
    assert read_folder(folder, larger).test_images.shape == (28, 3, 64, 64)


def test_names_order_times_and_place_do_not_matter(folder: Path, tmp_path: Path) -> None:
    files = sorted(path for path in folder.rglob("img *") if path.is_file())
    for number, path in enumerate(reversed(files)):
        place = tmp_path / "moved" / path.relative_to(folder).parts[0] / f"{number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        copy = shutil.copy(path, place / f"{number}{path.suffix.lower()}")
        os.utime(copy, (number, number))
    first, second = read_folder(folder, OWN), read_folder(tmp_path / "moved", OWN)
    assert first.sha256 == second.sha256
    assert (first.test_images == second.test_images).all()
    one = next((tmp_path / "moved").rglob("*.png"))
    one.unlink()
    assert read_folder(tmp_path / "moved", OWN).sha256 != first.sha256


def test_a_new_image_moves_few_others(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    picture(999).save(tmp_path / "class 0" / "new.png")

    def in_test(place: Path) -> set[bytes]:
        return {image.tobytes() for image in read_folder(place, OWN).test_images}

    assert len(in_test(tmp_path) - in_test(folder)) <= 1


def test_the_same_image_is_never_in_training_and_test(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path, 30)
    for path in list(tmp_path.iterdir()):
        for copy in range(3):
            if path.is_file():
                shutil.copy(path, tmp_path / f"copy {copy} of {path.name}")
    with caplog.at_level(logging.INFO):
        dataset = read_folder(tmp_path, OWN)
    train = {image.tobytes() for image in dataset.train_images}
    test = {image.tobytes() for image in dataset.test_images}
    assert not train & test
    assert "Repeated, pixel by pixel: 60 images" in caplog.text
    assert "No labels: not every image lies in one of several subfolders" in caplog.text
    assert not dataset.train_labels.any()


def test_damaged_files_are_listed_and_refused_or_left_out(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    names = write_broken(tmp_path / "class 1")
    with pytest.raises(UserError, match="3 of 73 images") as caught:
        read_folder(tmp_path, OWN)
    assert "set data.skip_damaged: true" in str(caught.value)
    assert all(f"class 1/{name}: " in str(caught.value) for name in names)
    skipping = OWN.model_copy(update={"skip_damaged": True})
    dataset = read_folder(tmp_path, skipping)
    assert "3 of 73 images are damaged and left out" in caplog.text
    assert dataset.sha256 == read_folder(folder, OWN).sha256


def test_gray_images_stay_gray_if_all_are(tmp_path: Path) -> None:
    for index in range(60):
        picture(index).convert("L").save(tmp_path / f"{index}.png")
    assert read_folder(tmp_path, OWN).train_images.shape == (40, 1, 32, 32)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    assert read_folder(tmp_path, OWN).train_images.shape[1] == 3


@pytest.mark.parametrize("count", [0, 1, 59])
def test_too_few_images_are_refused(tmp_path: Path, count: int) -> None:
    for index in range(count):
        picture(index).save(tmp_path / f"{index}.png")
    said = f"{count} images, of which data.test_size keeps" if count else "has no images"
    with pytest.raises(UserError, match=said) as caught:
        read_folder(tmp_path, OWN)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_of_one_image_many_times_is_refused(tmp_path: Path) -> None:
    for index in range(60):
        picture(index % 2).save(tmp_path / f"{index}.png")
    with pytest.raises(UserError, match="most of its 60 images are the same"):
        read_folder(tmp_path, OWN)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for source, said in (
        (None, "download.source is null"),
        (str(tmp_path / "nowhere"), "does not exist"),
        (str(tmp_path / "file"), "is not a folder"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            require_folder(source)
        assert len(str(caught.value).splitlines()) == 1


def test_many_classes_keep_apart(tmp_path: Path) -> None:
    for index in range(300):
        (tmp_path / f"{index:03}").mkdir()
        Image.new("RGB", (2, 2), (index % 256, index // 256, 9)).save(
            tmp_path / f"{index:03}" / "a.png"
        )
    dataset = read_folder(tmp_path, OWN)
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    assert sorted(labels.tolist()) == list(range(300))
