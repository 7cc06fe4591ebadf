"""The explorer in a real browser: it computes what PyTorch does, and one hand moves both sides."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from chromium import brightness, browser, needs_chromium, photograph
from conftest import ROOT
from playwright.sync_api import Browser, Page
from torch import Tensor

from pipeline import UserError
from pipeline.config.grid import Config, deep_merge
from pipeline.config.paths import Paths
from pipeline.config.schema import PRIORS
from pipeline.data.dataset import load_dataset
from pipeline.data.loader import to_float
from pipeline.models.decoders import ConvDecoder
from pipeline.models.vae import VAE
from pipeline.report.explorer import page as explorer
from pipeline.report.explorer.run import REACH, export_run, steps_of_mu
from pipeline.report.results import load_results
from pipeline.sampling.directions import explored_codes
from pipeline.stages import fetch, train
from pipeline.storage.yaml_io import dump_yaml, read_yaml

pytestmark = [pytest.mark.slow, needs_chromium]
__all__ = ["browser"]  # a fixture

TEMPLATES = ROOT / "pipeline" / "report" / "templates"
# Real networks at their real sizes, trained until their images are none of noise.
SHORT = {
    "grid": {
        "variants": ["original", "bernoulli", "residual", "deeper", "pca_refined"],
        "latent_dims": [64, 512],
    },
    "data": {"train_size": 1024, "val_size": 64},
    "train": {"epochs": 1},
    "variants": {"original": {"train": {"epochs": 1}}},
}
RUNS = ("original-64-0", "bernoulli-64-0", "residual-64-0", "deeper-64-0", "pca_refined-512-0")
# What the page promises of any of its codes.
PROMISED = 2 / 255
DECODE = """async ([run, numbers, codes]) => {
    const read = readRun(run, new Reader(await inflate(numbers)));
    const plain = (rows) => rows.map((row) => [...row]);
    return {
        made: codes.map((z) => [...read.decode(Float32Array.from(z)).data]),
        images: plain(read.codes.images),
        axes: plain(read.axes),
    };
}"""


# Playwright's own way of waiting evaluates strings, which the page's policy forbids.
SETTLED = """async () => {
    const drawn = () => !waiting && strip.done && sides.every((side) => side.moved !== undefined);
    do await new Promise((then) => setTimeout(then, 350)); while (!drawn());
}"""


@pytest.fixture(scope="module")
def short_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Paths]:
    """CIFAR-10 and parameters for a few steps of training."""
    root = tmp_path_factory.mktemp("short")
    document = deep_merge(read_yaml(ROOT / "params.yaml"), SHORT)
    (root / "params.yaml").write_text(dump_yaml(document))
    params, paths = Config.model_validate(document), Paths(root)
    try:
        fetch.main(params, paths)
    except UserError as error:
        pytest.skip(f"CIFAR-10 cannot be had here: {error}")
    return params, paths


@pytest.fixture
def trained_model(short_study: tuple[Config, Paths], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Train a run for a few steps, with a tracker of its own."""
    params, paths = short_study
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root / 'mlflow.db'}")

    def trained(run: str) -> VAE:
        train.main(params.run(run), params, paths)
        return VAE.from_pretrained(paths.model(run))

    return trained


@torch.inference_mode()
def codes_of(model: VAE, images: Tensor) -> dict[str, Tensor]:
    """What the stage `sample` keeps for the explorer, with draws that need no fitting."""
    generator = torch.Generator().manual_seed(0)
    drawn = {prior: torch.randn(20, model.latent_dim, generator=generator) for prior in PRIORS}
    mu = model.encode(to_float(images[:20])).mu
    return explored_codes(model, mu, drawn, images, generator)


def twenty(codes: dict[str, Tensor]) -> Tensor:
    """Codes that the page can make and that no weight was rounded for: other draws, 4 deviations
    out along each direction, and along all of them at once."""
    generator = torch.Generator().manual_seed(7)
    directions = steps_of_mu(codes)
    draws = torch.randn(20, directions.shape[1], generator=generator)
    draws[:4] = codes["mu"].roll(1, 0)[:4] * 0.5 + codes["mu"][:4] * 0.5
    signs = torch.randn(4, len(directions), generator=generator).sign()
    signs = torch.cat([torch.eye(len(directions)), signs])[:12]
    draws[8:] += REACH * signs @ directions
    return draws


def shown(model: VAE, codes: Tensor) -> np.ndarray:
    """PyTorch's images of codes, laid out as the page's."""
    with torch.inference_mode():
        pixels = model.to_pixels(model.decode(codes))
    return pixels.permute(0, 2, 3, 1).flatten(1).numpy()


def decoder_page(browser: Browser, folder: Path) -> Page:
    """A page that has the explorer's arithmetic and no run."""
    empty = json.dumps({"originals": {"count": 0}, "runs": []})
    scripts = "".join(
        (TEMPLATES / f"explorer_{part}.js").read_text() for part in ("decoder", "codes")
    )
    html = f'<script type="application/json" id="page">{empty}</script><script>{scripts}</script>'
    (folder / "decoder.html").write_text(html)
    page = browser.new_page()
    page.goto((folder / "decoder.html").as_uri())
    return page


@pytest.mark.parametrize("run", RUNS)
def test_the_page_computes_what_pytorch_computes(
    browser: Browser,
    trained_model: Any,
    short_study: tuple[Config, Paths],
    run: str,
    tmp_path: Path,
) -> None:
    model = trained_model(run)
    if run.startswith("bernoulli"):  # of a run that learned for long: logits far from 0
        with torch.no_grad():
            model.decoder.body[-1].weight.mul_(8)
    test_images = load_dataset(short_study[1].dataset("cifar10")).test_images
    codes = codes_of(model, torch.from_numpy(test_images[:600].copy()))
    row = SimpleNamespace(run=run, collapse_label="healthy", latent_dim=model.latent_dim)
    row.active_units = row.test_kl = row.psnr_db = row.shuffle_gain = 0
    exported = export_run(row, pd.DataFrame({"kl": [0.0]}), model, codes, 0.01)
    page = decoder_page(browser, tmp_path)
    z = twenty(codes)
    found = page.evaluate(DECODE, [exported.description, exported.numbers, z.tolist()])
    page.close()

    exact = shown(model, z)
    error = np.abs(np.array(found["made"]) - exact).max()
    assert error <= PROMISED, f"{255 * error:.2f}/255"
    assert exact.std(0).mean() > 0.001, "its images differ"
    if run.startswith("bernoulli"):
        assert exact.min() < 0.02
        assert exact.max() > 0.98
    mu = codes["mu"]
    steps = mu.abs().amax(1, keepdim=True) / 127
    assert (torch.tensor(found["images"]) - mu).abs().le(0.51 * steps).all()
    assert np.array(found["axes"]) == pytest.approx(steps_of_mu(codes).numpy(), abs=1e-3)


@pytest.fixture
def deaf(study: tuple[Config, Paths]) -> Paths:
    """A finished study whose collapsed run ignores its code altogether."""
    paths = study[1]
    folder = paths.model("original-2-0")
    model = VAE.from_pretrained(folder)
    assert isinstance(model.decoder, ConvDecoder)
    torch.nn.init.zeros_(model.decoder.from_latent.weight)
    model.save_pretrained(folder, {})
    explorer.write(load_results(paths.reports), paths)
    return paths


def opened(
    browser: Browser, paths: Paths, width: int = 1280, language: str = "en", **options: Any
) -> tuple[Page, list[str]]:
    """The explorer, and what it said to the console or asked the network for."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    said: list[str] = []
    address = (paths.reports / "explorer.html").as_uri()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(f"{address}#{language}")
    settled(page)
    assert said.pop(0).startswith(address)
    return page, [text for text in said if not text.startswith("data:")]


def settled(page: Page) -> None:
    """Wait until the state is shown and said, and both strips, which are drawn last."""
    page.evaluate(SETTLED)


def pictures(page: Page) -> list[str]:
    """A digest of what each side shows."""
    read = "canvas => canvas.toDataURL()"
    return [
        hashlib.sha256(canvas.evaluate(read).encode()).hexdigest()
        for canvas in page.locator(".picture").all()
    ]


def moved(page: Page) -> list[float]:
    return [float(text.split()[2]) for text in page.locator(".moved .value").all_inner_texts()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_whole_on_phone_and_desktop(
    browser: Browser, deaf: Paths, width: int, scheme: str
) -> None:
    page, said = opened(browser, deaf, width, color_scheme=scheme)
    photograph(page, f"explorer-{width}-{scheme}")
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    background, text = (
        page.evaluate(f"getComputedStyle(document.body).{key}")
        for key in ("backgroundColor", "color")
    )
    assert (brightness(background) < brightness(text)) == (scheme == "dark")
    assert page.locator("canvas[role=img]:not([aria-label])").count() == 0
    assert page.evaluate("document.getAnimations().length") == 0, "nothing moves by itself"
    page.close()


def test_one_hand_moves_both_sides_and_a_collapsed_one_stands_still(
    browser: Browser, deaf: Paths
) -> None:
    page, said = opened(browser, deaf)
    still = pictures(page)
    slider = page.locator(".direction input").first
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    settled(page)
    assert slider.get_attribute("aria-valuetext") == "+2.0 standard deviations"
    acts = {"slider": (pictures(page), moved(page))}
    for name in ("normal", "gmm", "two_stage"):
        page.locator(f"[data-prior={name}]").click()
        settled(page)
        acts[name] = (pictures(page), moved(page))
    page.get_by_role("radio").nth(3).check(force=True)
    page.get_by_role("button", name="Shuffle the code").click()
    settled(page)
    acts["shuffle"] = (pictures(page), moved(page))
    page.get_by_role("slider", name="Path").fill("1")
    settled(page)
    acts["path"] = (pictures(page), moved(page))
    for name, (seen, far) in acts.items():
        assert seen[0] == still[0], f"{name}: the collapsed side stands still"
        assert far[0] == 0
        assert seen[1] != still[1], name
        assert far[1] > 0.5, name
    described = page.locator(".picture").nth(1).get_attribute("aria-label")
    assert "100 % of the way to test image" in described
    assert f"moved by {acts['path'][1][1]} of 255" in described
    assert "Left moved by 0.0" in page.locator(".status").inner_text()
    assert said == []
    page.close()


def test_the_detectors_test_is_done_by_hand(browser: Browser, deaf: Paths) -> None:
    page, _ = opened(browser, deaf)
    page.get_by_role("button", name="Shuffle the code").click()
    settled(page)
    collapsed, used = page.locator(".misses").all_inner_texts()
    assert collapsed.endswith("gain 0.0 %")
    assert float(used.rpartition("gain")[2].strip(" %").replace("−", "-")) != 0
    page.get_by_role("button", name="Its own code").click()
    settled(page)
    assert "gain" not in page.locator(".misses").nth(1).inner_text()
    page.close()


def test_strips_show_what_is_moved_from_end_to_end(browser: Browser, deaf: Paths) -> None:
    page, _ = opened(browser, deaf)
    page.locator(".direction input").nth(1).fill("-4")
    settled(page)
    strips = page.locator(".sweep")
    assert strips.nth(0).get_attribute("aria-label").endswith("differ by up to 0.0 of 255")
    frames = strips.nth(1).locator("canvas")
    assert len({frame.evaluate("c => c.toDataURL()") for frame in frames.all()}) > 2
    assert frames.nth(0).get_attribute("class") == "now", "the present one is marked"
    page.close()


def test_it_computes_gray_images_of_any_state_as_pytorch_does(
    browser: Browser, study: tuple[Config, Paths]
) -> None:
    paths = study[1]
    page, _ = opened(browser, paths)
    page.locator("[data-prior=gmm]").click()
    page.locator(".direction input").nth(0).fill("4")
    settled(page)
    for index, run in enumerate(("original-2-0", "pca_refined-2-0")):
        model = VAE.from_pretrained(paths.model(run))
        z, made = page.evaluate(
            f"[[...codeOf(sides[{index}].run, state)], [...sides[{index}].image.data]]"
        )
        assert np.abs(np.array(made) - shown(model, torch.tensor([z]))).max() <= PROMISED
    page.close()


def test_it_speaks_both_languages_and_leads_back(browser: Browser, deaf: Paths) -> None:
    page, said = opened(browser, deaf, language="uk")
    assert page.evaluate("document.documentElement.lang") == "uk"
    assert page.get_by_role("heading", level=1).inner_text() == "Торкніться коду"
    assert page.locator(".badge").first.inner_text() == "колапс"
    assert (
        page.get_by_role("link", name="до звіту").get_attribute("href").endswith("report.uk.html")
    )
    page.get_by_role("link", name="English").click()
    settled(page)
    assert page.get_by_role("heading", level=1).inner_text() == "Touch the code"
    assert page.locator("[data-say]:empty").count() == page.locator(".about :empty").count()
    assert said == []
    page.close()


def test_reduced_motion_is_respected(browser: Browser, deaf: Paths) -> None:
    page, _ = opened(browser, deaf, reduced_motion="reduce")
    duration = "getComputedStyle(document.querySelector('.bar span')).transitionDuration"
    assert page.evaluate(duration) == "0s"
    page.close()


def test_a_study_without_a_decoder_to_show_says_so(browser: Browser, deaf: Paths) -> None:
    explorer.write(load_results(deaf.reports), deaf, budget=explorer.RESERVED)
    page = browser.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((deaf.reports / "explorer.html").as_uri())
    page.get_by_text("No run of this study").wait_for()
    assert said == []
    page.close()
