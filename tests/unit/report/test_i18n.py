"""Every sentence of the report has a Ukrainian one with the same values, and none is left over."""

import re
import string
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

import pipeline.report
from pipeline import UserError
from pipeline.report.i18n import (
    ENGLISH,
    LOCALES,
    Translator,
    _,
    _n,
    available_languages,
    catalog_path,
)

SOURCES = Path(pipeline.report.__file__).parent
KEYWORDS = {"_": None, "gettext": None, "_n": (1, 2), "ngettext": (1, 2)}
TRANSLATIONS = [language for language in available_languages() if language != ENGLISH]


def marked() -> set[str | tuple[str, ...]]:
    """Every sentence marked in code and templates, with its plural where it has one."""
    with (LOCALES / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(str(SOURCES), methods, options, keywords=KEYWORDS)
    return {message for _file, _line, message, _comments, _context in found}


def catalog(language: str) -> Catalog:
    with catalog_path(language).open("rb") as file:
        return read_po(file, locale=language)


def placeholders(text: str) -> list[str]:
    """Names with their formats, `{kl:.2f}` or `%(name)s`."""
    fields = [
        f"{name}:{spec}"
        for _literal, name, spec, _conversion in string.Formatter().parse(text)
        if name is not None
    ]
    return sorted(fields + re.findall(r"%\(\w+\)s", text))


def variants(text: str | tuple[str, ...] | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_sentence_is_translated_and_none_is_stale(language: str) -> None:
    entries = {message.id: message for message in catalog(language) if message.id}
    keys = {key if isinstance(key, str) else tuple(key) for key in entries}
    assert keys == marked()
    for message in entries.values():
        assert all(variants(message.string)), message.id
        assert not message.fuzzy, message.id


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translations_have_the_same_values(language: str) -> None:
    for message in catalog(language):
        if not message.id:
            continue
        wanted = placeholders(variants(message.id)[-1])
        for text in [*variants(message.id), *variants(message.string)]:
            assert placeholders(text) == wanted, message.id


@pytest.mark.parametrize(
    ("count", "english", "ukrainian"),
    [
        (1, "1 run", "1 запуск"),
        (2, "2 runs", "2 запуски"),
        (5, "5 runs", "5 запусків"),
        (11, "11 runs", "11 запусків"),
        (21, "21 runs", "21 запуск"),
        (23, "23 runs", "23 запуски"),
    ],
)
def test_plurals_follow_the_language(count: int, english: str, ukrainian: str) -> None:
    title = _n(
        "Variational autoencoders on {dataset}: {count} run",
        "Variational autoencoders on {dataset}: {count} runs",
        count,
        dataset="MNIST",
    )
    assert str(title).endswith(f"MNIST: {english}")
    assert Translator("uk").translate(title).endswith(f"MNIST: {ukrainian}")


def test_a_value_may_be_a_sentence() -> None:
    said = _("healthy: {numbers}", numbers=_("healthy"))
    assert str(said) == "healthy: healthy"
    assert Translator("uk").translate(said) == "без колапсу: без колапсу"


def test_a_language_names_itself_and_an_unknown_one_is_refused() -> None:
    assert Translator("uk").name == "Українська"
    with pytest.raises(UserError, match="no language 'fr'; allowed: en, uk"):
        Translator("fr")
