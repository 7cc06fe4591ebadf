"""Sentences that wait for their language: the English text stands at the rule that chooses it.

`_("...")` marks a sentence and `_n("one", "many", count)` one whose form follows a number; gettext
catalogs under locales/ hold what each becomes in another language. Values are named, as in
`str.format`, and may be messages themselves.
"""

import gettext
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import UserError

LOCALES = Path(__file__).parent / "locales"
DOMAIN = "report"
ENGLISH = "en"


@dataclass(frozen=True)
class Message:
    """A sentence with its values; `plural` is its form for counts other than one."""

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    plural: str | None = None
    count: int = 1

    def __str__(self) -> str:
        return Translator(ENGLISH).translate(self)


NOTHING = Message("")


def _(text: str, **values: Any) -> Message:
    """Mark a sentence for translation."""
    return Message(text, values)


def _n(one: str, many: str, count: int, **values: Any) -> Message:
    """Mark a sentence whose form follows `count`, which is among its values."""
    return Message(one, values | {"count": count}, many, count)


class Translator:
    """Says messages in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.catalog = load_catalog(language)

    @property
    def name(self) -> str:
        """What the language calls itself."""
        from babel import Locale

        return str(Locale.parse(self.language).display_name).capitalize()

    def translate(self, message: Message | str) -> str:
        """Return the sentence in this language; numbers are written alike in every language."""
        if isinstance(message, str):
            return message
        if not message.text:  # gettext's name for a catalog's head
            return ""
        if message.plural is None:
            text = self.catalog.gettext(message.text)
        else:
            text = self.catalog.ngettext(message.text, message.plural, message.count)
        return text.format(**{name: self._value(value) for name, value in message.values.items()})

    def _value(self, value: Any) -> Any:
        return self.translate(value) if isinstance(value, Message) else value


@cache
def load_catalog(language: str) -> gettext.NullTranslations:
    """Read a language's catalog. Raises UserError if there is none; English needs none."""
    if language == ENGLISH:
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    path = catalog_path(language)
    if not path.exists():
        allowed = ", ".join(available_languages())
        raise UserError(f"the report has no language {language!r}; allowed: {allowed}")
    # gettext reads compiled catalogs only; this one is compiled in memory, so that git has text.
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def catalog_path(language: str) -> Path:
    """Where a language's catalog lies."""
    return LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def available_languages() -> list[str]:
    """Every language the report can be written in."""
    return [ENGLISH, *sorted(path.name for path in LOCALES.iterdir() if path.is_dir())]
