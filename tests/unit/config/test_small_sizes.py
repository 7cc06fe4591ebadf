"""Sizes too small to measure anything are refused before the training, not after it."""

from pathlib import Path

import pytest
from conftest import ROOT, SMALL, run_study
from typer.testing import CliRunner

from pipeline import UserError, cli
from pipeline.config.grid import Config, deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.schema import MIN_SET_SIZE
from pipeline.storage.yaml_io import dump_yaml, read_yaml

SIZES = (
    ("sample", "num_samples"),
    ("sample", "num_fit_images"),
    ("evaluate", "num_images"),
    ("evaluate", "num_feature_images"),
    ("evaluate", "num_probe_images"),
)
ODD = {"grid": {"latent_dims": [64, 1025]}, "data": {"dataset": "mnist"}}


def load(folder: Path, changes: dict) -> Config:
    path = folder / "params.yaml"
    path.write_text(dump_yaml(deep_merge(read_yaml(ROOT / "params.yaml"), changes)))
    return load_config(path)


@pytest.mark.parametrize(("section", "key"), SIZES)
@pytest.mark.parametrize("size", [1, 6, MIN_SET_SIZE - 1])
def test_a_set_too_small_to_compare_is_refused(
    tmp_path: Path, section: str, key: str, size: int
) -> None:
    with pytest.raises(UserError, match=rf"{section}\.{key}: .*{MIN_SET_SIZE}.*found {size}"):
        load(tmp_path, {section: {key: size}})


@pytest.mark.parametrize("data", [{"train_size": 5}, {"val_size": 49_990}])
def test_too_few_training_images_are_refused(tmp_path: Path, data: dict) -> None:
    small = {"data": data, "train": {"batch_size": 2}}
    with pytest.raises(UserError, match="training images; allowed: at least 20"):
        load(tmp_path, small)


def test_more_components_than_pixels_are_refused_with_what_is_allowed(tmp_path: Path) -> None:
    said = "latent_dims has 1025, but pca_refined starts .* mnist have 1024; allowed for it: 1 to"
    with pytest.raises(UserError, match=said):
        load(tmp_path, ODD)
    of_convolutions = deep_merge(ODD, {"grid": {"variants": ["original", "sigma_vae"]}})
    assert len(load(tmp_path, of_convolutions).runs) == 4
    assert load(tmp_path, {"grid": {"latent_dims": [3072]}}).runs
    of_digits = deep_merge(ODD, {"grid": {"latent_dims": [1024]}})
    assert load(tmp_path, of_digits).runs


def test_the_verb_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(
        dump_yaml(deep_merge(read_yaml(ROOT / "params.yaml"), ODD))
    )
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    done = CliRunner().invoke(cli.app, ["params"])
    assert isinstance(done.exception, UserError)


@pytest.mark.slow
@pytest.mark.parametrize("largest", [True, False])
def test_the_smallest_sizes_that_are_allowed_go_through_every_stage(
    tmp_path: Path, mnist_root: Path, monkeypatch: pytest.MonkeyPatch, largest: bool
) -> None:
    """What `params` lets through gives no traceback in distances, probe or PCA after a training."""

    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    sizes = {section: {} for section, _ in SIZES}
    for section, key in SIZES:
        sizes[section][key] = MIN_SET_SIZE
    sizes["sample"] |= {"num_grid_images": 1, "num_interpolations": 3}
    sizes["evaluate"] |= {"num_likelihood_images": 1, "num_importance_samples": 1}
    changes = {
        "grid": {"variants": ["pca_refined"], "latent_dims": [1024] if largest else [1]},
        "data": {"val_size": MIN_SET_SIZE, "train_size": MIN_SET_SIZE},
        "train": {"epochs": 1, "batch_size": 7},
        "download": {"source": str(mnist_root)},
    }
    config = load(tmp_path, deep_merge(deep_merge(SMALL, sizes), changes))
    run_study(config, Paths(tmp_path))
    assert (tmp_path / "reports" / "report.md").exists()
