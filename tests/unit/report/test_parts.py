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
        ("vae-cifar10", "en", [None, "ablation/report", None]),
        ("vae-cifar10", "uk", [None, "../ablation/translations/report.uk", None]),
        ("vae-cifar10-ablation", "en", ["../report", None, None]),
        ("vae-cifar10-ablation", "uk", ["../../translations/report.uk", None, None]),
        ("vae-cifar10-generation", "en", ["../report", "../ablation/report", None]),
        ("vae-cifar10-demo", "en", []),
    ],
)
def test_every_part_links_the_others_that_are_there(
    params: Config, experiment: str, language: str, wanted: list
) -> None:
    up = "" if language == "en" else "../"
    assert pages(part_links(named(params, experiment), language, up)) == wanted


def test_a_part_that_is_not_in_git_says_what_makes_it(params: Config) -> None:
    """Once its report is published, it is linked: its `published` must then say so."""
    for part in PARTS:
        assert part.published == (ROOT / "reports" / part.folder / "report.html").exists()
    study, _ablation, generation = part_links(named(params, "vae-cifar10"), "en", "")
    assert study.current
    assert not generation.current
    assert str(generation.title).endswith("(made by `make generation`)")
    *_others, own = part_links(named(params, "vae-cifar10-generation"), "en", "")
    assert own.current
    assert str(own.title) == "Generation: what samples prove"


def test_languages_link_each_other() -> None:
    assert language_links(["en", "uk"], "en", "") == [("Українська", "translations/report.uk")]
    assert language_links(["en", "uk"], "uk", "../") == [("English", "../report")]
