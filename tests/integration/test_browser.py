"""The report and MLflow's UI in a real browser."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import brightness, browser, needs_chromium, photograph
from conftest import ROOT
from playwright.sync_api import Browser, Page
from servers import free_port, mlflow_server, stop

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.run_record import load_run_record
from pipeline.tracking.client import (
    FIRST_METRIC,
    get_client,
    get_or_create_run,
    search_training_runs,
    store_uri,
)
from pipeline.tracking.links import log_links
from pipeline.tracking.sync import sync

pytestmark = [pytest.mark.slow, needs_chromium]
__all__ = ["browser"]  # a fixture
PUBLISHED = ("report.html", "translations/report.uk.html", "ablation/report.html")
PAGES = [ROOT / "reports" / page for page in PUBLISHED]
# The study of params.yaml on a common screen; ten screens at most.
TALLEST = 9000
# What a busy machine may need for MLflow's megabytes of JavaScript, in milliseconds.
PATIENCE = 120_000
# MLflow opens a chat beside every page unless the browser remembers that it was closed.
NO_CHAT = """
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false")
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true")
"""

# Whether the table has these heads, from left to right.
HEADS_ARE = """expected => {
    const place = cell => cell.getBoundingClientRect().x
    const cells = [...document.querySelectorAll(".ag-header-cell")]
    const heads = cells.sort((a, b) => place(a) - place(b)).map(cell => cell.innerText.trim())
    return JSON.stringify(heads.filter(head => head)) == JSON.stringify(expected)
}"""
# Whether there is a picture of this name for every run, and no other.
SHOWN = """([name, count]) => {
    const images = [...document.querySelectorAll("img[src*=get-artifact]")]
    const shown = image => image.naturalWidth && decodeURIComponent(image.src).includes(name)
    return images.length == count && images.every(shown)
}"""


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "light"),
        (1280, "dark"),
        pytest.param(390, "dark", marks=pytest.mark.long),
        pytest.param(1280, "light", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("path", PAGES, ids=PUBLISHED)
def test_the_report_is_whole_on_phone_and_desktop(
    browser: Browser, path: Path, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # a Literal
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    photograph(page, f"{path.parent.name}-{path.stem}-{width}-{scheme}")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()], (
        "it needs no other file"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    assert page.evaluate(
        "[...document.images].every(image => image.complete && image.naturalWidth)"
    )
    background, text = (
        page.evaluate(f"getComputedStyle(document.body).{key}")
        for key in ("backgroundColor", "color")
    )
    assert (brightness(background) < brightness(text)) == (scheme == "dark")
    page.close()


@pytest.mark.parametrize("path", PAGES, ids=PUBLISHED)
def test_the_report_is_short_and_its_tables_are_whole(browser: Browser, path: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollHeight") < TALLEST
    cut = """[...document.querySelectorAll(".wide")]
        .filter(table => !table.closest("details") && table.scrollWidth > table.clientWidth)
        .map(table => table.ariaLabel)"""
    assert page.evaluate(cut) == []
    assert page.evaluate("document.getAnimations().length") == 0, "nothing moves by itself"
    evidence = page.locator("#verdict h3 a")
    links = [link.get_attribute("href") for link in evidence.all()]
    assert len(links) >= 4
    for link in links:
        assert page.locator(str(link)).count() == 1, link
    page.close()


def test_the_report_sorts_by_keyboard_and_zooms(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(PAGES[0].as_uri())
    head = page.locator("th button").filter(has_text=re.compile(r"^PSNR,\s*dB$")).first
    table = head.locator("xpath=ancestor::table")
    column = head.locator("xpath=..").evaluate("cell => cell.cellIndex")
    orders = []
    for _ in range(2):
        head.focus()
        page.keyboard.press("Enter")
        cells = table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        assert cells[-1] == "–", "what has no number comes last"
        orders.append([float(cell) for cell in cells[:-1]])
    assert sorted(orders[0]) in orders
    assert orders[0] == orders[1][::-1]
    box = "document.querySelector('.chart svg').getAttribute('viewBox')"
    before = page.evaluate(box)
    page.locator(".chart button").first.click()
    assert page.evaluate(box) != before
    page.locator(".chart button").nth(2).click()
    assert page.evaluate(box) == before
    page.close()


def test_two_runs_stand_side_by_side_and_step_through_epochs(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(PAGES[0].as_uri())
    epochs = page.locator("#compare figcaption")
    assert epochs.all_inner_texts() == ["epoch 1", "epoch 1"]
    page.get_by_role("slider").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert epochs.all_inner_texts() == ["epoch 4", "epoch 4"]
    left = page.locator("#compare .side select").first
    left.select_option("pca_refined-512-0")
    shown = page.locator("#compare .side img").first
    assert "pca_refined-512-0" in str(shown.get_attribute("alt"))
    page.locator("#compare [data-choose=kind]").select_option("interpolations")
    assert page.locator("#compare .window:visible").count() == 2, "one picture a side"
    page.close()


def test_a_runs_name_leads_to_why_it_was_judged_so(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(PAGES[0].as_uri())
    reason = page.locator("#run-pca_refined-64-0")
    assert not reason.is_visible()
    page.locator("#quality a[href='#run-pca_refined-64-0']").first.click()
    assert reason.is_visible()
    page.close()


def test_what_is_printed_is_whole(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(PAGES[0].as_uri())
    closed = "document.querySelectorAll('details:not([open])').length"
    before = page.evaluate(closed)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(closed) == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(closed) == before > 0
    page.close()


@pytest.fixture
def ui(study: tuple[Config, Paths], tmp_path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """MLflow's address, the experiment's id and its trainings' ids, rebuilt from the files."""
    params, paths = study
    sync(params, paths)
    client = get_client(paths)
    runs = search_training_runs(client, params.tracking.experiment)
    port = free_port()
    server = mlflow_server(port, store_uri(paths), str(tmp_path / "mlartifacts"), {})
    yield f"http://127.0.0.1:{port}", runs[0].info.experiment_id, [run.info.run_id for run in runs]
    stop(server)


def test_mlflow_shows_the_study_as_it_comes(
    browser: Browser, ui: tuple[str, str, list[str]]
) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.add_init_script(NO_CHAT)
    see_table(page, *ui[:2], "original-2-0")
    see_comparison(page, *ui)
    see_image_grid(page, *ui[:2], step=2, count=len(ui[2]))
    page.close()


def test_the_printed_links_open_on_what_matters(
    browser: Browser,
    ui: tuple[str, str, list[str]],
    study: tuple[Config, Paths],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    params, paths = study
    # An older training, in the table alone.
    record = load_run_record("original-2-0", params.tracking.experiment, paths)
    get_or_create_run(replace(record, fingerprint="a" * 32), reopen=False)
    # As somebody else's server, whose database this process does not see.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ui[0])
    caplog.set_level(logging.INFO, "pipeline")
    log_links(paths)
    table, comparison = re.findall(r"http\S+", caplog.text)
    assert table.startswith(ui[0])
    see_columns(browser, table, rows=3, evaluated=2)
    see_charts(browser, comparison, [run.name for run in params.runs])


def see_columns(browser: Browser, link: str, rows: int, evaluated: int) -> None:
    """The table of a browser that knows nothing but the link."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(link)
    page.get_by_text(f"{rows} matching runs").wait_for()
    columns = ["collapse_label", "variant", "latent_dim", "psnr_db", "fd_samples", "test_kl"]
    page.wait_for_function(HEADS_ARE, arg=["Run Name", "Created", *columns, "Duration"])
    assert page.locator(".ag-center-cols-container [role=row]").count() == rows
    cells = page.locator(".ag-center-cols-container [col-id*=collapse_label]").all_inner_texts()
    assert len([cell for cell in cells if cell.strip("-")]) == evaluated
    photograph(page, "mlflow-trainings")
    page.close()


def see_charts(browser: Browser, link: str, runs: list[str]) -> None:
    """The comparison: all columns as axes, and each metric by itself."""
    page = browser.new_page(viewport={"width": 1440, "height": 1600})
    page.set_default_timeout(PATIENCE)
    page.add_init_script(NO_CHAT)
    page.goto(link)
    page.get_by_text(f"{len(runs)} matching runs").wait_for()
    for section in ("Side by side", "One by one", "Epoch by epoch"):
        page.get_by_text(section, exact=True).wait_for()
    for axis in ("variant", "latent_dim", "psnr_db", "fd_samples", "test_kl"):
        page.locator("svg text", has_text=re.compile(f"^{axis}$")).first.wait_for()
    for name in runs:
        row = page.locator(".ag-root").get_by_text(name, exact=True)
        row.first.wait_for()
        assert row.count() == 1
    photograph(page, "mlflow-current")
    page.close()


def see_table(page: Page, address: str, experiment: str, run: str) -> None:
    """The runs, sorted by a metric."""
    page.goto(
        f"{address}/#/experiments/{experiment}/runs?orderByKey=metrics.%60psnr_db%60&orderByAsc=false"
    )
    page.get_by_text(run).first.wait_for()
    photograph(page, "mlflow-table")


def see_comparison(page: Page, address: str, experiment: str, runs: list[str]) -> None:
    """Parallel coordinates open on what varies and the headline metric, nothing chosen by hand."""
    chosen = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"
    page.goto(f"{address}/#/compare-runs?{chosen}")
    page.locator(".js-plotly-plot text", has_text=FIRST_METRIC).first.wait_for()
    photograph(page, "mlflow-comparison")


def see_image_grid(page: Page, address: str, experiment: str, step: int, count: int) -> None:
    """The image grid steps through the epochs' pictures of every run under one key."""
    page.goto(
        f"{address}/#/experiments/{experiment}/runs?compareRunsMode=CHART&orderByKey=metrics.%60psnr_db%60"
    )
    page.get_by_placeholder("Search metric charts").fill("snapshots")
    # One chart is left, the one that MLflow makes of pictures by itself.
    page.get_by_text("(1)").wait_for()
    page.get_by_test_id("experiment-view-compare-runs-card-menu").click()
    page.get_by_role("menuitem", name="Configure").click()
    # The parameters of every run leave no room for its picture.
    page.get_by_role("dialog").get_by_role("switch").click()
    page.get_by_role("dialog").get_by_role("button", name="Save changes").click()
    page.get_by_role("slider").focus()
    for _ in range(step):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(SHOWN, arg=[f"snapshots+step+{step}+", count])
    photograph(page, "mlflow-images")
