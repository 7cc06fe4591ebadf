"""The pages: made of what reports/ keeps, alike in every language, and of one file alone."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.report import render
from pipeline.report.parts import PARTS
from pipeline.report.results import load_results
from pipeline.workflow.workspace import publish_report

PAGES = (
    "report.md",
    "report.html",
    "translations/report.uk.md",
    "translations/report.uk.html",
)
PUBLISHED = {part.preset or "study": ROOT / "reports" / part.folder for part in PARTS}


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d[\d.,]*\d|\d", text))


def test_pages_are_made_of_what_is_kept(study: tuple[Config, Paths]) -> None:
    _params, paths = study
    before = {page: (paths.reports / page).read_bytes() for page in PAGES}
    for page in PAGES:
        (paths.reports / page).unlink()
    render.write(load_results(paths.reports), paths.reports)
    assert {page: (paths.reports / page).read_bytes() for page in PAGES} == before
    words = before["report.md"].decode()
    assert "Each run learned from 300 images, for 2 epochs." in words
    assert "always named the most frequent class would be right in" in words


@pytest.mark.parametrize("reports", PUBLISHED.values(), ids=PUBLISHED)
def test_languages_say_the_same_numbers(reports: Path) -> None:
    english = (reports / PAGES[0]).read_text()
    ukrainian = (reports / PAGES[2]).read_text()
    assert numbers(ukrainian) == numbers(english)
    assert "Висновок" in ukrainian


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(
    study: tuple[Config, Paths],
) -> None:
    _params, paths = study
    results = load_results(paths.reports)
    results.summary["collapse_label"] = "<script>alert(1)</script>"
    render.write(results, paths.reports)
    page = (paths.reports / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    sources = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    pages = ("#", "translations/", "ablation/", "generation/", "explorer.html")
    elsewhere = [source for source in sources if not source.startswith(pages)]
    assert {source.partition(":")[0] for source in elsewhere} == {"data"}
    assert len(re.findall("<img[^>]*alt=.[^ ]", page)) == page.count("<img")


@pytest.mark.parametrize("reports", PUBLISHED.values(), ids=PUBLISHED)
def test_the_published_reports_are_what_their_inputs_give(reports: Path, tmp_path: Path) -> None:
    render.write(load_results(reports), tmp_path)
    for page in PAGES:
        assert words_of(tmp_path / page) == words_of(reports / page), page


def test_a_study_beside_is_published_whole(study: tuple[Config, Paths], tmp_path: Path) -> None:
    _params, paths = study
    paths.dvc_lock.write_text("schema: '2.0'\nstages: {}\n")
    shutil.copy(ROOT / "dvc.yaml", paths.root)
    published = tmp_path / "reports" / "ablation"
    publish_report(paths, published)
    assert (published / "dvc.lock").read_bytes() == paths.dvc_lock.read_bytes()
    render.write(load_results(published), tmp_path / "again")
    for page in PAGES:
        assert (tmp_path / "again" / page).read_bytes() == (published / page).read_bytes()


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_tables_in_markdown_are_whole(page: str) -> None:
    """Every row stands on its own line and has as many cells as its table's head."""
    tables = re.findall(r"(?:^\|.*\n)+", (ROOT / "reports" / page).read_text(), re.MULTILINE)
    assert len(tables) > 5
    for table in tables:
        rows = table.splitlines()
        assert len(rows) > 2
        assert {row.count(" |") for row in rows[2:]} == {rows[2].count(" |")}, table


@pytest.mark.parametrize("reports", PUBLISHED.values(), ids=PUBLISHED)
@pytest.mark.parametrize("page", PAGES)
def test_links_to_other_pages_and_parts_lead_somewhere(reports: Path, page: str) -> None:
    text = (reports / page).read_text()
    links = re.findall(r"""(?:href="|\]\()([^"#)]+\.(?:md|html|png))[")]""", text)
    assert len(links) > 1
    for link in links:
        assert ((reports / page).parent / link).exists(), link


@pytest.mark.parametrize("reports", PUBLISHED.values(), ids=PUBLISHED)
def test_evidence_is_in_the_page(reports: Path) -> None:
    for page in PAGES:
        text = (reports / page).read_text()
        anchors = set(re.findall(r"""(?:href="|\]\()#([\w-]+)[")]""", text))
        assert {"quality", "generation", "latents"} <= anchors
        assert anchors <= set(re.findall('id="([^"]+)"', text)), page


def words_of(page: Path) -> str:
    """Without the drawings, whose coordinates another processor may round otherwise."""
    return re.sub(r"<svg.*?</svg>", "", page.read_text(), flags=re.DOTALL)
