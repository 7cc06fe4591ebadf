"""The parts of one report, each a page of its own study, and the links between them."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.config.grid import Config
from pipeline.report.i18n import Message, Translator, _

# The first language's pages lie in reports/, the others' in there.
TRANSLATIONS = "translations"
# Beside the first language's pages, in every language.
EXPLORER = "explorer.html"


class Part(NamedTuple):
    """A page by the name of its preset, and its folder under reports/."""

    preset: str
    title: Message
    folder: str


STUDY = Part("", _("Study: latent sizes"), "")
PARTS = (
    STUDY,
    Part("ablation", _("Ablation: what each idea gains"), "ablation/"),
    Part("generation", _("Generation: what samples prove"), "generation/"),
)


class Link(NamedTuple):
    """A part's title, and its page without the ending; none of the page itself."""

    title: Message
    page: str | None


def current_part(params: Config) -> Part | None:
    """Return the part that a study is, or None for the demo, which stands alone."""
    preset = params.tracking.experiment.rpartition("-")[2]
    if preset == "demo":
        return None
    return next((part for part in PARTS if part.preset == preset), STUDY)


def part_links(params: Config, language: str, up: str) -> list[Link]:
    """Link every part in one language; `up` leads from the page's folder to its reports/."""
    current = current_part(params)
    if current is None:
        return []
    top = up + "../" * current.folder.count("/")
    page = page_of(params.report.languages, language)
    return [
        Link(part.title, None if part == current else f"{top}{part.folder}{page}") for part in PARTS
    ]


def language_links(languages: Sequence[str], language: str, up: str) -> list[tuple[str, str]]:
    """Return every other language's name with the path to its page, without the ending."""
    return [
        (Translator(other).name, up + page_of(languages, other))
        for other in languages
        if other != language
    ]


def page_of(languages: Sequence[str], language: str) -> str:
    """Return a language's page, without the ending, under its study's reports/."""
    return "report" if language == languages[0] else f"{TRANSLATIONS}/report.{language}"
