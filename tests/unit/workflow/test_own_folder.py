"""A folder that is no longer as it was read is noticed; another machine's folder is nobody's."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from own_images import picture, write_images

from pipeline import UserError
from pipeline.config.grid import Config, deep_merge
from pipeline.config.paths import Paths
from pipeline.stages import fetch
from pipeline.storage.yaml_io import read_yaml
from pipeline.workflow.durations import training_seconds
from pipeline.workflow.own_folder import describe_folder, folder_changes


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Config, Paths]:
    """A folder, and a project that has read it."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder, root = tmp_path / "images", tmp_path / "project"
    write_images(folder, 64)
    root.mkdir()
    config = of_folder(folder)
    fetch.main(config, Paths(root))
    return folder, config, Paths(root)


def of_folder(folder: Path, **data: object) -> Config:
    changes = {
        "data": {"dataset": "folder"} | data,
        "download": {"source": str(folder)},
        "grid": {"variants": ["original"]},
    }
    return Config.model_validate(deep_merge(read_yaml(ROOT / "params.yaml"), changes))


def test_what_was_read_is_unchanged_until_an_image_is_new_gone_or_other(
    fetched: tuple[Path, Config, Paths],
) -> None:
    folder, config, paths = fetched
    assert folder_changes(config, paths) is None
    (folder / "notes.txt").touch()
    assert folder_changes(config, paths) is None
    picture(99).save(folder / "new.png")
    assert "has 65 images, 64 when it was read" in str(folder_changes(config, paths))
    fetch.main(config, paths)
    assert folder_changes(config, paths) is None
    picture(98).save(folder / "new.png")
    assert "have changed" in str(folder_changes(config, paths))
    (folder / "new.png").unlink()
    assert "has 64 images, 65" in str(folder_changes(config, paths))


def test_what_was_removed_is_not_taken_from_the_cache_for_a_folder_that_has_changed(
    fetched: tuple[Path, Config, Paths],
) -> None:
    folder, config, paths = fetched
    shutil.rmtree(paths.dataset("folder"))
    assert folder_changes(config, paths) is None
    picture(99).save(folder / "new.png")
    assert "has 65 images, 64 when it was read" in str(folder_changes(config, paths))
    paths.folder_state.unlink()
    assert folder_changes(config, paths) is None


def test_links_that_lead_nowhere_are_damaged_images(
    fetched: tuple[Path, Config, Paths],
) -> None:
    folder, config, paths = fetched
    (folder / "self.png").symlink_to("self.png")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    assert "has 66 images, 64 when it was read" in str(folder_changes(config, paths))
    with pytest.raises(UserError, match=r"2 of 66 images.*") as caught:
        fetch.main(config, paths)
    assert "self.png" in str(caught.value)
    fetch.main(of_folder(folder, skip_damaged=True), paths)
    assert folder_changes(config, paths) is None


def test_a_training_on_few_images_is_timed_by_those_that_it_has(
    fetched: tuple[Path, Config, Paths],
) -> None:
    """`data.val_size` of 5,000 is far more than there are."""
    _folder, config, paths = fetched
    seconds = training_seconds("original-64-0", config, paths)
    assert seconds is not None
    assert seconds > 0


def test_times_alone_make_it_read_again_and_give_the_same_dataset(
    fetched: tuple[Path, Config, Paths],
) -> None:
    folder, config, paths = fetched
    before = (paths.dataset("folder") / "dataset.json").read_bytes()
    os.utime(next(folder.glob("*.png")), (1, 1))
    assert folder_changes(config, paths)
    fetch.main(config, paths)
    assert (paths.dataset("folder") / "dataset.json").read_bytes() == before


def test_another_folder_and_another_dataset_are_noticed(
    fetched: tuple[Path, Config, Paths], tmp_path: Path
) -> None:
    _folder, config, paths = fetched
    other = tmp_path / "others"
    write_images(other, 70, seed=100)
    assert "was not read from" in str(folder_changes(of_folder(other), paths))
    kept = paths.folder_state.read_bytes()
    fetch.main(of_folder(other), paths)
    paths.folder_state.write_bytes(kept)
    assert "is not what was last read" in str(folder_changes(config, paths))
    paths.folder_state.unlink()
    assert "was not read from" in str(folder_changes(config, paths))


def test_where_the_folder_is_not_the_dataset_stays(fetched: tuple[Path, Config, Paths]) -> None:
    folder, config, paths = fetched
    shutil.rmtree(folder)
    assert folder_changes(config, paths) is None
    assert "stays as it is: download.source" in describe_folder(config, paths)
    shutil.rmtree(paths.dataset("folder"))
    assert folder_changes(config, paths) is None
    with pytest.raises(UserError, match="does not exist"):
        describe_folder(config, paths)


def test_what_the_images_become_is_said_before_they_are_read(
    fetched: tuple[Path, Config, Paths],
) -> None:
    folder, config, paths = fetched
    said = describe_folder(config, paths)
    assert "64 images, if none is damaged, of which 20 test, 20 validate and 24 train" in said
    with pytest.raises(UserError, match="too few are left"):
        describe_folder(of_folder(folder, test_size=0.9), paths)
