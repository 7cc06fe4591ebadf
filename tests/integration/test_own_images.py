"""A folder of anybody's images goes through every stage to the report, at both sizes."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from conftest import DVC_CONFIG, ROOT, run_study
from own_images import picture, write_broken, write_images, write_rubbish

from pipeline import UserError
from pipeline.config.grid import deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.storage.yaml_io import dump_yaml, read_yaml
from pipeline.workflow.workspace import create_workspace

# As small as the demo's, and smaller: what is asked here is whether everything works.
TINY = {
    "train": {"epochs": 1},
    "variants": {"original": {"train": {"epochs": 1}}},
    "sample": {"num_samples": 40, "num_grid_images": 12},
    "evaluate": {"num_likelihood_images": 4, "num_importance_samples": 10},
}


def study(root: Path, folder: Path, changes: dict) -> Paths:
    """A demo of the folder's images, in a workspace that links to the code."""
    document = read_yaml(ROOT / "params.yaml")
    own = {"data": {"dataset": "folder"}, "download": {"source": str(folder)}}
    for layer in (read_yaml(ROOT / "pipeline/presets/demo.yaml"), TINY, own, changes):
        document = deep_merge(document, layer)
    root.mkdir()
    (root / "params.yaml").write_text(dump_yaml(document))
    return Paths(root)


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a shell says of MLflow and DVC, these studies are by themselves."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_300_odd_images_with_classes_reach_the_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "images"
    write_images(folder, 310, classes=3)
    write_rubbish(folder)
    broken = write_broken(folder / "class 1")
    sizes = {"grid": {"variants": ["original", "pca_refined"], "latent_dims": [16, 512]}}
    paths = study(tmp_path / "refused", folder, sizes)
    with pytest.raises(UserError, match="3 of 313 images") as caught:
        run_study(load_config(paths.params), paths)
    assert all(name in str(caught.value) for name in broken)

    paths = study(tmp_path / "study", folder, sizes | {"data": {"skip_damaged": True}})
    with caplog.at_level(logging.INFO):
        run_study(load_config(paths.params), paths)
    assert "310 color images, of which 62 test, 24 validate and 224 train" in caplog.text
    summary = pd.read_csv(paths.reports / "summary.csv")
    assert summary["probe_accuracy"].notna().all()
    assert (summary["num_test_images"] == 62).all()
    report = (paths.reports / "report.md").read_text()
    assert "Variational autoencoders on own images: 4 runs" in report
    assert "The source report trained on CIFAR-10: its losses say nothing of other" in report
    assert "What did the source report get wrong?" not in report
    assert "There is no linear probe" not in report
    translated = (paths.reports / "translations" / "report.uk.md").read_text()
    assert "власних зображеннях" in translated


VARIANTS = list(read_yaml(ROOT / "params.yaml")["variants"])


@pytest.mark.slow
@pytest.mark.long
def test_every_variant_learns_from_64_pixels_without_labels(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    write_images(folder, 120)
    changes = {
        "grid": {"variants": VARIANTS, "latent_dims": [8]},
        "data": {"image_size": 64},
        "report": {"baseline": "sigma_vae"},
    }
    paths = study(tmp_path / "study", folder, changes)
    run_study(load_config(paths.params), paths)
    for run in (f"{variant}-8-0" for variant in VARIANTS):
        described = json.loads((paths.model(run) / "model.json").read_text())
        assert described["config"]["image_shape"] == [3, 64, 64]
        metrics = json.loads(paths.metrics(run).read_text())
        assert "probe_accuracy" not in metrics
        assert metrics["psnr_db"] > 5
    report = (paths.reports / "report.md").read_text()
    assert "There is no linear probe: the images have no labels" in report
    explorer = (paths.reports / "explorer.html").read_text()
    assert '"originals":{"count":12,"channels":3,"side":64}' in explorer


@pytest.mark.slow
@pytest.mark.long
def test_repro_sees_new_images_and_trains_again_for_no_other_reason(tmp_path: Path) -> None:
    from pipeline.workflow.runner import repro

    folder = tmp_path / "images"
    write_images(folder, 80)
    small = read_yaml(ROOT / "pipeline/presets/demo.yaml")
    changes = {
        "grid": {"variants": ["original"], "latent_dims": [8]},
        "data": {"dataset": "folder"},
        "download": {"source": str(folder)},
    }
    paths = Paths(tmp_path / "study")
    merged = deep_merge(deep_merge(small, TINY), changes)
    create_workspace(ROOT, paths.root, merged, DVC_CONFIG)

    def trained_on() -> str:
        assert repro(paths, jobs=1) == {}
        return json.loads((paths.model("original-8-0") / "model.json").read_text())[
            "dataset_sha256"
        ]

    first = trained_on()
    lock = paths.dvc_lock.read_bytes()
    next(folder.rglob("*.png")).touch()
    assert trained_on() == first
    assert paths.dvc_lock.read_bytes() == lock, "the same images again"
    picture(999).save(folder / "new.png")
    assert trained_on() != first
    (folder / "new.png").unlink()
    assert trained_on() == first
