"""Sizes of a folder follow rules; other datasets know nothing of a folder's keys."""

from pathlib import Path

import pytest
from conftest import ROOT

from pipeline import UserError
from pipeline.config.data import OF_FOLDER, DataConfig
from pipeline.config.grid import Config, RunConfig, deep_merge
from pipeline.config.loader import load_config
from pipeline.storage.yaml_io import dump_yaml, read_yaml


def load(folder: Path, changes: dict) -> Config:
    path = folder / "params.yaml"
    path.write_text(dump_yaml(deep_merge(read_yaml(ROOT / "params.yaml"), changes)))
    return load_config(path)


def own(**changes: object) -> DataConfig:
    return DataConfig.model_validate(
        {"dataset": "folder", "val_size": 5000, "train_size": None} | changes
    )


@pytest.mark.parametrize(
    ("total", "val_size", "expected"),
    [
        (40, 5000, (20, 20)),
        (160, 5000, (20, 140)),
        (9999, 5000, (999, 9000)),
        (10_000, 5000, (5000, 5000)),
        (240, 100, (100, 140)),
    ],
)
def test_validation_has_what_is_written_or_a_tenth(
    total: int, val_size: int, expected: tuple[int, int]
) -> None:
    assert own(val_size=val_size).split_sizes(total) == expected


def test_train_size_is_at_most_what_is_left() -> None:
    assert own(train_size=100).split_sizes(260) == (26, 100)
    assert own(train_size=7000).split_sizes(260) == (26, 234)


def test_the_test_has_its_share_and_enough_to_compare() -> None:
    assert [own().num_test_images(total) for total in (45, 300, 200_000)] == [20, 60, 40_000]


def test_identities_of_other_datasets_have_none_of_a_folders_keys(tmp_path: Path) -> None:
    run = load(tmp_path, {}).runs[0]
    assert set(run.to_dict()["data"]) == {"dataset", "val_size", "train_size"}
    assert RunConfig.model_validate(run.to_dict()) == run
    mine = load(tmp_path, {"data": {"dataset": "folder", "image_size": 64}}).runs[0]
    assert set(OF_FOLDER) < set(mine.to_dict()["data"])
    assert mine.to_dict()["data"]["image_size"] == 64


def test_a_params_yaml_from_before_them_is_read(tmp_path: Path) -> None:
    document = read_yaml(ROOT / "params.yaml")
    for key in OF_FOLDER:
        del document["data"][key]
    (tmp_path / "params.yaml").write_text(dump_yaml(document))
    assert load_config(tmp_path / "params.yaml") == load_config(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"image_size": 64}, "images of cifar10 are 32x32; allowed: 32, or dataset folder"),
        ({"dataset": "folder", "image_size": 48}, "image_size: should be 32 or 64"),
        ({"dataset": "folder", "test_size": 1.5}, "test_size: .*less than 1"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, data: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(tmp_path, {"data": data})


def test_a_run_is_held_against_the_images_as_they_are(tmp_path: Path) -> None:
    variants = {"grid": {"variants": ["pca_refined"], "latent_dims": [2000]}}
    run = load(tmp_path, variants | {"data": {"dataset": "folder"}}).runs[0]
    run.require_fit(100, (3, 32, 32))
    with pytest.raises(UserError, match="of which images of folder have 1024"):
        run.require_fit(100, (1, 32, 32))
    with pytest.raises(UserError, match="image_size is 32, but data/folder has images of 64"):
        run.require_fit(100, (3, 64, 64))
    with pytest.raises(UserError, match="leaves 19 training images"):
        run.require_fit(19, (3, 32, 32))
