"""The logged decoder stands alone, and the champion is the best run that did not collapse."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import clean_environment

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.models.vae import VAE
from pipeline.tracking.client import get_client, search_training_runs
from pipeline.tracking.store import store_uri
from pipeline.tracking.sync import sync

LOADED = """
import sys, numpy, torch
assert not any(name.split(".")[0] == "pipeline" for name in sys.modules)
decode = torch.export.load(sys.argv[1]).module()
for batch in (1, 2, 5):
    z = torch.from_numpy(numpy.load(sys.argv[2]))[:batch]
    numpy.save(f"{sys.argv[3]}-{batch}.npy", decode(z).detach().numpy())
"""


def aliases(paths: Paths) -> dict[str, str]:
    """Run name by alias."""
    client = get_client(paths)
    names = {
        run.info.run_id: run.info.run_name for run in search_training_runs(client, "vae-cifar10")
    }
    found = client.get_registered_model("vae-cifar10").aliases
    return {
        alias: names[client.get_model_version("vae-cifar10", version).run_id]
        for alias, version in found.items()
    }


def champions(paths: Paths) -> dict[str, str]:
    """The same, of the champion and the one before."""
    return {alias: run for alias, run in aliases(paths).items() if alias != "generator"}


def set_metrics(paths: Paths, run: str, **values: object) -> None:
    path = paths.metrics(run)
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def judged_by(params: Config, metric: str) -> Config:
    """The same study with another metric for its champion."""
    tracking = params.tracking.model_copy(update={"champion_metric": metric})
    return params.model_copy(update={"tracking": tracking})


@pytest.mark.slow
def test_the_decoder_loads_without_this_code_for_any_batch(
    study: tuple[Config, Paths], tmp_path: Path
) -> None:
    params, paths = study
    sync(params, paths)
    client = get_client(paths)
    (run,) = [
        run
        for run in search_training_runs(client, "vae-cifar10")
        if run.info.run_name == "pca_refined-2-0"
    ]
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    program = next(Path(model.artifact_location.removeprefix("file://")).rglob("*.pt2"))
    z = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    command = [
        sys.executable,
        "-I",
        "-c",
        LOADED,
        str(program),
        str(tmp_path / "z.npy"),
        str(tmp_path / "images"),
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    ours = VAE.from_pretrained(paths.model("pca_refined-2-0"))
    with torch.no_grad():
        expected = ours.to_pixels(ours.decode(torch.from_numpy(z))).numpy()
    for batch in (1, 2, 5):
        np.testing.assert_allclose(
            np.load(tmp_path / f"images-{batch}.npy"), expected[:batch], atol=1e-5
        )
    assert "mlflow.pytorch" in (program.parent.parent / "MLmodel").read_text()
    assert (program.parent.parent / "input_example.json").exists()


@pytest.mark.slow
def test_a_models_page_says_how_to_use_it_and_is_right(
    study: tuple[Config, Paths], tmp_path: Path
) -> None:
    params, paths = study
    champion = sync(params, paths).champion
    client = get_client(paths)
    version = client.get_model_version_by_alias("vae-cifar10", "champion")
    model_id = version.source.removeprefix("models:/")
    page = client.get_logged_model(model_id).tags["mlflow.note.content"]
    assert version.description == page, "the registry's page says the same"
    assert f"decoder of `{champion}`" in page
    assert "float32 [B, 2]" in page
    assert "float32 [B, 1, 32, 32], values in [0, 1]" in page, "MNIST is gray"
    lines = page.split("```")[1].removeprefix("python").strip()
    assert len(lines.splitlines()) == 3
    program = f"""
import sys
{lines}
ours = [name for name in sys.modules if name.split(".")[0] == "pipeline"]
print(ours, codes.shape, images.shape, images.dtype, images.min() >= 0, images.max() <= 1)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        cwd=tmp_path,
        env=clean_environment() | {"MLFLOW_TRACKING_URI": store_uri(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[] (8, 2) (8, 1, 32, 32) float32 True True"


def test_a_page_that_a_person_edited_stays_and_one_that_is_missing_is_written(
    study: tuple[Config, Paths],
) -> None:
    params, paths = study
    sync(params, paths)
    client = get_client(paths)
    runs = search_training_runs(client, "vae-cifar10")
    edited, bare = (run.outputs.model_outputs[0].model_id for run in runs)
    client.set_logged_model_tags(edited, {"mlflow.note.content": "mine"})
    client.delete_logged_model_tag(bare, "mlflow.note.content")
    assert sorted(sync(params, paths).added.values()) == [0, 1]
    assert client.get_logged_model(edited).tags["mlflow.note.content"] == "mine"
    assert "predict(codes)" in client.get_logged_model(bare).tags["mlflow.note.content"]


def test_the_champion_is_the_best_that_did_not_collapse(study: tuple[Config, Paths]) -> None:
    params, paths = study
    set_metrics(paths, "original-2-0", psnr_db=99.0, is_collapsed=1)
    set_metrics(paths, "pca_refined-2-0", psnr_db=20.0, is_collapsed=0)
    assert sync(params, paths).champion == "pca_refined-2-0"
    assert champions(paths) == {"champion": "pca_refined-2-0"}
    set_metrics(paths, "original-2-0", psnr_db=99.0, is_collapsed=0)
    assert sync(params, paths).champion == "original-2-0"
    assert champions(paths) == {"champion": "original-2-0", "previous": "pca_refined-2-0"}
    set_metrics(paths, "original-2-0", bce=0.9)
    set_metrics(paths, "pca_refined-2-0", bce=0.5)
    assert sync(judged_by(params, "bce"), paths).champion == "pca_refined-2-0", "less is better"
    assert champions(paths) == {"champion": "pca_refined-2-0", "previous": "original-2-0"}


def test_the_generator_is_the_one_of_the_best_samples_that_did_not_collapse(
    study: tuple[Config, Paths],
) -> None:
    params, paths = study
    set_metrics(paths, "original-2-0", psnr_db=10.0, is_collapsed=0, fd_samples=300.0)
    set_metrics(paths, "pca_refined-2-0", psnr_db=20.0, is_collapsed=0, fd_samples=400.0)
    sync(params, paths)
    assert aliases(paths) == {"champion": "pca_refined-2-0", "generator": "original-2-0"}
    set_metrics(paths, "original-2-0", is_collapsed=1)
    sync(params, paths)
    assert aliases(paths) == {"champion": "pca_refined-2-0", "generator": "pca_refined-2-0"}


@pytest.mark.slow
def test_a_flow_loads_without_this_code_and_takes_its_noise_behind_the_code(
    trained_flow: tuple[Config, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    params, paths = trained_flow
    sync(params, paths)
    (run,) = search_training_runs(get_client(paths), "vae-cifar10")
    model = get_client(paths).get_logged_model(run.outputs.model_outputs[0].model_id)
    program = next(Path(model.artifact_location.removeprefix("file://")).rglob("*.pt2"))
    x = np.random.default_rng(0).standard_normal((5, 4 + 32 * 32)).astype(np.float32)
    np.save(tmp_path / "z.npy", x)
    names = [str(tmp_path / name) for name in ("z.npy", "images")]
    command = [sys.executable, "-I", "-c", LOADED, str(program), *names]
    subprocess.run(command, cwd=tmp_path, check=True)
    flow = VAE.from_pretrained(paths.model("flow-4-0"))
    z, noise = torch.from_numpy(x[:, :4]), torch.from_numpy(x[:, 4:]).unflatten(1, (1, 32, 32))
    with torch.no_grad():
        expected = flow.to_images(z, noise).numpy()
    for batch in (1, 2, 5):
        made = np.load(tmp_path / f"images-{batch}.npy")
        np.testing.assert_allclose(made, expected[:batch], atol=1e-4)
    assert "[-1, 1028]" in (program.parent.parent / "MLmodel").read_text()
    page = model.tags["mlflow.note.content"]
    assert "float32 [B, 1028]" in page
    assert "the first 4 are the code. It is a flow: the other" in page


def test_no_run_is_crowned_where_none_qualifies(study: tuple[Config, Paths]) -> None:
    params, paths = study
    for run in params.runs:
        set_metrics(paths, run.name, is_collapsed=1)
    assert sync(params, paths).champion is None
    assert get_client(paths).search_registered_models() == []


@pytest.mark.parametrize("metric", ["no_such_metric", "test_kl"])
def test_a_metric_that_crowns_nobody_is_refused(study: tuple[Config, Paths], metric: str) -> None:
    params, paths = study
    with pytest.raises(UserError, match=f"'{metric}'; allowed: active_units"):
        sync(judged_by(params, metric), paths)
    assert get_client(paths).search_registered_models() == []
