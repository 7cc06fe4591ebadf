"""`generate`: images of a run that anybody can make again, from codes or from one's own images."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from safetensors.torch import load, save

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.data.images import read_grid, to_uint8
from pipeline.models.vae import VAE
from pipeline.tracking.client import get_client, search_training_runs
from pipeline.tracking.sync import sync
from pipeline.workflow.generate import Request, generate
from pipeline.workflow.publish import publish

RUN = "pca_refined-2-0"
# What a person may have: a large photo lying on its side, transparency, gray values, a palette.
MODES = ("RGB", "RGBA", "L", "P", "CMYK", "I;16")


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, which is not the study's."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.chdir(folder)
    return folder


def make(paths: Paths, out: str, run: str = RUN, **options: Any) -> dict[str, np.ndarray]:
    """Ask for arrays."""
    generate(Request(run, out=out, **options), paths)
    return dict(np.load(out))


def refused(paths: Paths, run: str = RUN, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        generate(Request(run, **options), paths)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write_image(path: Path, mode: str = "RGB", size: tuple[int, int] = (50, 40)) -> str:
    """Write blobs of a mode; return the path."""
    blobs = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    image = Image.fromarray(blobs).resize(size)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    image = image if image.mode == mode else image.convert(mode)
    image.save(path)
    return str(path)


def test_the_same_seed_draws_the_same_images_in_every_format(
    study: tuple[Config, Paths], home: Path
) -> None:
    _, paths = study
    options = {"count": 7, "prior": "normal", "seed": 3}
    made = make(paths, "a.npz", **options)
    expected = VAE.from_pretrained(paths.model(RUN)).sample(7, torch.Generator().manual_seed(3))
    assert np.array_equal(made["samples"], to_uint8(expected.numpy()))
    assert made["z"].shape == (7, 2)
    make(paths, "b.npz", **options)
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()
    other = make(paths, "c.npz", **options | {"seed": 4})
    assert not np.array_equal(made["samples"], other["samples"])

    # A grid of three columns, whose last row is filled up.
    generate(Request(RUN, out="grid.png", **options), paths)
    grid = read_grid(Path("grid.png")).reshape(9, 1, 32, 32)
    assert np.array_equal(grid[:7], made["samples"])
    assert (grid[7:] == 255).all()
    generate(Request(RUN, out="folder", **options), paths)
    files = sorted(Path("folder").iterdir())
    assert [file.name for file in files] == [f"samples-{index}.png" for index in range(7)]
    singles = [np.asarray(Image.open(file)) for file in files]
    assert np.array_equal(singles, made["samples"][:, 0])


@pytest.mark.parametrize("prior", ["gmm", "two_stage"])
def test_fitted_priors_draw_other_codes_without_being_fitted_again(
    study: tuple[Config, Paths], home: Path, prior: str
) -> None:
    _, paths = study
    normal = make(paths, "a.npz", prior="normal", count=200)["z"]
    fitted = make(paths, "b.npz", prior=prior, count=200)["z"]
    assert not np.allclose(normal, fitted)
    assert np.array_equal(fitted, make(paths, "c.npz", prior=prior, count=200)["z"])


def test_what_is_not_said_is_the_best_prior_and_a_name_that_tells_it(
    study: tuple[Config, Paths], home: Path
) -> None:
    _, paths = study
    metrics = json.loads(paths.metrics(RUN).read_text())
    paths.metrics(RUN).write_text(json.dumps(metrics | {"best_prior": "two_stage"}))
    generate(Request(RUN), paths)
    file = Path("generated") / f"{RUN}-samples-two_stage-0.png"
    assert read_grid(file).shape[:2] == (8, 8)

    # Where the fitted ones are not, the one that needs no fitting.
    (paths.samples(RUN) / "priors.safetensors").unlink()
    generate(Request(RUN), paths)
    assert (Path("generated") / f"{RUN}-samples-normal-0.png").exists()
    message = refused(paths, prior="gmm")
    assert f"{RUN} has no gmm prior here: `dvc repro sample@{RUN}` fits it" in message


@pytest.mark.parametrize("label", ["collapsed", "healthy"])
def test_images_of_a_collapsed_run_come_with_a_word(
    study: tuple[Config, Paths], home: Path, label: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, paths = study
    metrics = json.loads(paths.metrics(RUN).read_text())
    paths.metrics(RUN).write_text(json.dumps(metrics | {"collapse_label": label}))
    generate(Request(RUN, count=1), paths)
    assert (f"{RUN} is collapsed" in caplog.text) == (label == "collapsed")


def test_a_collapsed_run_of_mlflow_comes_with_the_same_word(
    study: tuple[Config, Paths], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params, paths = study
    described = json.loads(paths.metrics(RUN).read_text()) | {"collapse_label": "collapsed"}
    paths.metrics(RUN).write_text(json.dumps(described))
    sync(params, paths)
    (run_id,) = [
        run.info.run_id
        for run in search_training_runs(get_client(paths), params.tracking.experiment)
        if run.info.run_name == RUN
    ]
    paths.model(RUN).rename(paths.root / "away")
    generate(Request(run_id, count=1), paths)
    assert f"{RUN} is collapsed" in caplog.text


def test_priors_of_no_numbers_are_one_line(study: tuple[Config, Paths], home: Path) -> None:
    _, paths = study
    path = paths.samples(RUN) / "priors.safetensors"
    tensors = load(path.read_bytes())
    path.write_bytes(save({name: tensor * torch.nan for name, tensor in tensors.items()}))
    assert "values that are no numbers" in refused(paths, prior="gmm")


def test_nothing_is_written_over(study: tuple[Config, Paths], home: Path) -> None:
    _, paths = study
    options = {"count": 2, "prior": "normal", "out": "a.png"}
    generate(Request(RUN, **options), paths)
    before = Path("a.png").read_bytes()
    generate(Request(RUN, **options), paths)
    assert "exists and has other content" in refused(paths, **options | {"seed": 1})
    assert Path("a.png").read_bytes() == before
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    for out in ("mine", "mine/", "mine/notes.txt", "a.jpg"):
        refused(paths, **options | {"out": out})
    assert Path("mine/notes.txt").read_text() == "mine"
    assert sorted(path.name for path in home.iterdir()) == ["a.png", "mine"]
    Path("link").symlink_to("mine")
    assert "link is a link" in refused(paths, **options | {"out": "link"})
    Path("link").unlink()
    generate(Request(RUN, **options | {"out": "b.PNG"}), paths)
    assert Path("b.PNG").read_bytes() == before
    Path("empty").mkdir()
    generate(Request(RUN, **options | {"out": "empty"}), paths)
    assert len(list(Path("empty").iterdir())) == 2


@pytest.mark.parametrize("mode", MODES)
def test_own_images_of_any_mode_lie_above_their_reconstructions(
    study: tuple[Config, Paths], home: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, paths = study
    suffix = "tif" if mode == "CMYK" else "png"
    image = write_image(home / f"mine.{suffix}", mode)
    caplog.set_level("INFO")
    options = {"what": "reconstructions", "images": (image, image)}
    made = make(paths, "a.npz", **options)
    assert f"mine.{suffix}: 50x40 {mode}, its central square as 32x32 L" in caplog.text
    model = VAE.from_pretrained(paths.model(RUN))
    x = torch.from_numpy(made["originals"]).float() / 255
    with torch.no_grad():
        expected = model.to_pixels(model.decode(model.encode(x).mu))
    assert np.abs(made["reconstructions"] - 255.0 * expected.numpy()).max() <= 1
    generate(Request(RUN, out="a.png", **options), paths)
    grid = read_grid(home / "a.png")
    assert np.array_equal(grid, np.stack([made["originals"], made["reconstructions"]]))
    assert made["originals"].std() > 10


def test_an_image_as_the_model_takes_it_stays_as_it_is(
    study: tuple[Config, Paths], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, paths = study
    image = write_image(home / "mine.png", "L", (32, 32))
    caplog.set_level("INFO")
    made = make(paths, "a.npz", what="reconstructions", images=(image,))
    assert np.array_equal(made["originals"][0, 0], np.asarray(Image.open(image)))
    assert "mine.png" not in caplog.text


def test_a_photo_that_lies_on_its_side_is_put_upright(
    study: tuple[Config, Paths], home: Path
) -> None:
    _, paths = study
    half_white = Image.new("L", (64, 64))
    half_white.paste(255, (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees, clockwise
    half_white.save("mine.jpg", exif=exif)
    (image,) = make(paths, "a.npz", what="reconstructions", images=("mine.jpg",))["originals"]
    assert image[0, :, :12].mean() < 20
    assert image[0, :, 20:].mean() > 235


def test_a_path_leads_from_one_image_to_the_other(study: tuple[Config, Paths], home: Path) -> None:
    _, paths = study
    images = (write_image(home / "a.png"), write_image(home / "b.png", "L", (40, 90)))
    ends = make(paths, "ends.npz", what="reconstructions", images=images)
    path = make(paths, "path.npz", what="interpolation", images=images, count=5)
    assert np.allclose(path["z"][[0, -1]], ends["z"], atol=1e-6)
    assert np.allclose(path["z"][2], ends["z"].mean(0), atol=1e-6)
    steps = path["interpolation"]
    assert np.abs(steps[[0, -1]].astype(int) - ends["reconstructions"]).max() <= 1


def test_images_that_cannot_be_read_are_named(study: tuple[Config, Paths], home: Path) -> None:
    _, paths = study
    Path("text.png").write_text("hello")
    whole = Path(write_image(home / "whole.png", size=(500, 400))).read_bytes()
    Path("torn.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "torn.png", "nowhere.png", "."):
        options = {"what": "reconstructions", "images": ("whole.png", name), "out": "a.npz"}
        assert refused(paths, **options).startswith(f"{name} ")
    assert not Path("a.npz").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prior": "gauss"}, "no prior gauss; allowed: normal, gmm, two_stage"),
        ({"images": ("a.png",)}, "say what to do with a.png"),
        ({"what": "reconstructions"}, "takes images"),
        ({"what": "interpolation", "images": ("a.png",)}, "two images; there are 1"),
        ({"what": "reconstructions", "images": ("a.png",), "count": 3}, "--count"),
        ({"what": "reconstructions", "images": ("a.png",), "prior": "gmm"}, "--prior"),
        ({"steps": 5}, f"--steps is of a flow, and the decoder of {RUN} is none"),
        ({"what": "interpolation", "images": ("a.png", "b.png"), "count": 1}, "at least 2 images"),
        ({"out": "a.gif"}, "allowed: NAME.png"),
        ({"out": "."}, "--out is the current folder"),
        ({"out": "~nobody-of-that-name/a.png"}, "--out names ~nobody-of-that-name"),
        ({"out": "./"}, "--out is the current folder"),
        ({"run": "nobody-2-0"}, f"there are: original-2-0, {RUN}"),
        ({"run": "../models/original-2-0"}, "there is no trained run"),
        ({"run": "baselines"}, "there is no trained run"),
        ({"run": "published"}, "no model is published yet"),
        ({"run": "champion"}, "only MLflow knows that, and it has nothing here"),
        ({"run": "abc123"}, "only MLflow knows that, and it has nothing here"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_line(
    study: tuple[Config, Paths], home: Path, options: dict[str, Any], said: str
) -> None:
    _, paths = study
    store = paths.root / "mlflow.db"
    store.unlink()
    assert said in refused(paths, **options)
    assert not store.exists(), "asking makes no store"
    assert list(home.iterdir()) == []


def test_a_damaged_model_is_said(study: tuple[Config, Paths], home: Path) -> None:
    _, paths = study
    weights = paths.model(RUN) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "holds no usable model" in refused(paths)
    weights.unlink()
    assert "holds no usable model" in refused(paths)


def test_a_flow_draws_with_noise_of_its_seed_in_as_many_steps_as_asked(
    trained_flow: tuple[Config, Paths], home: Path
) -> None:
    _, paths = trained_flow
    options = {"run": "flow-4-0", "prior": "normal", "count": 3}
    made = make(paths, "a.npz", **options)["samples"]
    model = VAE.from_pretrained(paths.model("flow-4-0"))
    expected = model.sample(3, torch.Generator().manual_seed(0))
    assert np.array_equal(made, to_uint8(expected.numpy()))
    fewer = make(paths, "b.npz", steps=2, **options)["samples"]
    assert not np.array_equal(made, fewer)
    image = write_image(home / "mine.png")
    options = {"run": "flow-4-0", "what": "interpolation", "images": (image, image)}
    still = make(paths, "c.npz", count=4, **options)["interpolation"]
    assert np.abs(still.astype(int) - still[0]).max() <= 1, "of one noise, from a code to itself"


def test_a_presets_runs_are_found_and_the_studys_come_first(
    study: tuple[Config, Paths], home: Path
) -> None:
    _, paths = study
    demo = Paths(paths.root / ".demo")
    shutil.copytree(paths.root / "models", demo.root / "models")
    VAE.from_pretrained(paths.model("original-2-0")).save_pretrained(demo.model(RUN), {})
    (demo.root / "models" / RUN).rename(demo.model("flow-2-0"))
    of_study = make(paths, "a.npz", prior="normal")
    of_demo = make(paths, "b.npz", run="flow-2-0")
    original = make(paths, "c.npz", run="original-2-0", prior="normal")
    assert np.array_equal(of_demo["samples"], original["samples"])
    assert not np.array_equal(of_demo["samples"], of_study["samples"])


def test_the_published_model_is_half_as_large_and_draws_the_same(
    study: tuple[Config, Paths], home: Path
) -> None:
    _, paths = study
    exact = make(paths, "a.npz", prior="gmm")["samples"].astype(int)
    best = json.loads(paths.metrics(RUN).read_text()) | {"best_prior": "gmm"}
    paths.metrics(RUN).write_text(json.dumps(best))
    publish(RUN, paths)
    for name in ("weights.safetensors", "priors.safetensors"):
        before = {"weights": paths.model(RUN), "priors": paths.samples(RUN)}[name.split(".")[0]]
        assert (paths.published / name).stat().st_size < 0.6 * (before / name).stat().st_size
    described = json.loads((paths.published / "model.json").read_text())
    of_run = json.loads((paths.model(RUN) / "model.json").read_text())
    assert described["metrics"] == best
    assert {key: described[key] for key in ("config", "fingerprint", "run")} == {
        key: of_run[key] for key in ("config", "fingerprint", "run")
    }

    # Nothing else is needed.
    shutil.rmtree(paths.root / "models")
    shutil.rmtree(paths.reports)
    made = make(paths, "b.npz", run="published")["samples"]
    assert np.abs(made - exact).mean() < 3
    (paths.published / "model.json").unlink()
    assert "`git checkout -- published` brings it back" in refused(paths, run="published")


@pytest.mark.parametrize("page", ["README.md", "docs/generate.md"])
def test_the_lines_of_the_pages_work(
    study: tuple[Config, Paths], home: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    _, paths = study
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    program, found = re.subn(r"pca_refined-\d+-0", RUN, program.replace(".demo/", ""))
    assert found
    for name in ("cat.png", "dog.webp"):
        write_image(paths.root / name)
    monkeypatch.chdir(paths.root)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  # what it is about
    made = [names[name] for name in ("images", "again", "new", "better") if name in names]
    assert made
    for images in made:
        assert images.shape[1:] == names["vae"].image_shape
        assert ((images >= 0) & (images <= 1)).all()


def test_requests_are_what_the_command_line_has() -> None:
    import inspect

    from pipeline import cli

    options = set(inspect.signature(cli.generate).parameters)
    fields = {field.name for field in dataclasses.fields(Request)} - {"what"}
    assert options - {"reconstruct", "interpolate"} == fields
