"""The parts of one report and how they are linked, in every language."""

import pytest
from conftest import ROOT

from pipeline.config.grid import Config
from pipeline.report.parts import PARTS, Link, language_links, part_links


def named(params: Config, experiment: str) -> Config:
    tracking = params.tracking.model_copy(update={"experiment": experiment})
    return params.model_copy(update={"tracking": tracking})


def pages(links: list[Link]) -> list[str | None]:
    return [link.page for link in links]


@pytest.mark.parametrize(
    ("experiment", "language", "wanted"),
    [
        ("vae-cifar10", "en", [None, "ablation/report", "generation/report"]),
        (
            "vae-cifar10",
            "uk",
            [None, "../ablation/translations/report.uk", "../generation/translations/report.uk"],
        ),
        ("vae-cifar10-ablation", "en", ["../report", None, "../generation/report"]),
        (
            "vae-cifar10-ablation",
            "uk",
            ["../../translations/report.uk", None, "../../generation/translations/report.uk"],
        ),
        ("vae-cifar10-generation", "en", ["../report", "../ablation/report", None]),
        ("vae-cifar10-demo", "en", []),
    ],
)
def test_every_part_links_the_others(
    params: Config, experiment: str, language: str, wanted: list
) -> None:
    up = "" if language == "en" else "../"
    assert pages(part_links(named(params, experiment), language, up)) == wanted


def test_what_is_linked_is_in_git() -> None:
    for part in PARTS:
        assert (ROOT / "reports" / part.folder / "report.html").exists()


def test_languages_link_each_other() -> None:
    assert language_links(["en", "uk"], "en", "") == [("Українська", "translations/report.uk")]
    assert language_links(["en", "uk"], "uk", "../") == [("English", "../report")]
