"""The pages: made of what reports/ keeps, alike in every language, and of one file that needs nothing else."""

import re
import shutil
import string
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.report import render
from pipeline.report.i18n import load_catalogs
from pipeline.report.results import load_results
from pipeline.report.tables import UNITS
from pipeline.workflow.workspace import publish_report

PAGES = ("report.md", "report.html", "translations/report.uk.md", "translations/report.uk.html")


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d[\d.,]*\d|\d", text))


def fields(text: object) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(str(text)) if name}


def leaves(tree: dict, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        found |= (
            leaves(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else {f"{prefix}{key}": value}
        )
    return found


def test_catalogues_have_the_same_messages_and_values() -> None:
    english, *others = (
        leaves(words.catalogue) for words in (load_catalogs()["en"], *load_catalogs().values())
    )
    for other in others:
        assert other.keys() == english.keys()
        assert {key: fields(text) for key, text in other.items()} == {
            k: fields(text) for k, text in english.items()
        }


@pytest.mark.parametrize("language", sorted(load_catalogs()))
def test_every_column_has_a_meaning(language: str) -> None:
    assert all(load_catalogs()[language].meaning(column) for column in UNITS)


def test_pages_are_made_of_what_is_kept(study: tuple[Config, Paths]) -> None:
    _, paths = study
    before = {page: (paths.reports / page).read_bytes() for page in PAGES}
    for page in PAGES:
        (paths.reports / page).unlink()
    render.write(load_results(paths.reports), paths.reports)
    assert {page: (paths.reports / page).read_bytes() for page in PAGES} == before


def test_languages_say_the_same_numbers(study: tuple[Config, Paths]) -> None:
    _, paths = study
    english, ukrainian = (
        (paths.reports / PAGES[0]).read_text(),
        (paths.reports / PAGES[2]).read_text(),
    )
    assert numbers(ukrainian) == numbers(english)
    assert "Висновок" in ukrainian


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(
    study: tuple[Config, Paths],
) -> None:
    _, paths = study
    found = load_results(paths.reports)
    found.summary["collapse"] = "<script>alert(1)</script>"
    render.write(found, paths.reports)
    page = (paths.reports / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    sources = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert {
        source.partition(":")[0]
        for source in sources
        if not source.startswith(("#", "translations/"))
    } == {"data"}
    assert len(re.findall("<img[^>]*alt=.[^ ]", page)) == page.count("<img")


@pytest.mark.parametrize(
    "reports", [ROOT / "reports", ROOT / "reports" / "ablation"], ids=["study", "ablation"]
)
def test_the_published_reports_are_what_their_inputs_give(reports: Path, tmp_path: Path) -> None:
    render.write(load_results(reports), tmp_path)
    for page in PAGES:
        assert words_of(tmp_path / page) == words_of(reports / page), page


def test_a_study_beside_is_published_whole(study: tuple[Config, Paths], tmp_path: Path) -> None:
    _, paths = study
    paths.dvc_lock.write_text("schema: '2.0'\nstages: {}\n")
    shutil.copy(ROOT / "dvc.yaml", paths.root)
    published = tmp_path / "reports" / "ablation"
    publish_report(paths, published)
    assert (published / "dvc.lock").read_bytes() == paths.dvc_lock.read_bytes()
    render.write(load_results(published), tmp_path / "again")
    for page in PAGES:
        assert (tmp_path / "again" / page).read_bytes() == (published / page).read_bytes()


def words_of(page: Path) -> str:
    """Without the drawings, whose coordinates another processor may round otherwise."""
    return re.sub(r"<svg.*?</svg>", "", page.read_text(), flags=re.DOTALL)
