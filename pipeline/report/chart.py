"""A drawing as the pages show it."""

from typing import TYPE_CHECKING, NamedTuple

from pipeline.report.i18n import Message

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Chart(NamedTuple):
    """A figure with the name of its file and what it shows in words."""

    name: str
    alt: Message
    figure: "Figure"
