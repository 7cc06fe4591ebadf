"""How far trainings are: bars on a terminal, lines in a log.

A log or a CI's page shows nothing of a bar before it ends: hours of silence.
"""

import logging
import sys
import time
from types import TracebackType

from rich.progress import Progress

LINE_SECONDS = 60
logger = logging.getLogger(__name__)


def on_terminal() -> bool:
    """Tell whether somebody watches: standard output is a terminal."""
    return sys.stdout.isatty()


class RunsProgress:
    """Of several runs trained at once: a bar for each, or its epochs' lines, one a minute."""

    def __init__(self, names: list[str]) -> None:
        self.screen = Progress(disable=not on_terminal())
        self.bars = {name: self.screen.add_task(name, total=None) for name in names}
        self.said: dict[str, float] = {}

    def __enter__(self) -> "RunsProgress":
        self.screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.screen.stop()

    def update(self, name: str, epoch: int, total: int, line: str) -> None:
        """Show that a run has finished an epoch, which `line` describes."""
        self.screen.update(self.bars[name], completed=epoch, total=total)
        now = time.monotonic()
        due = now - self.said.get(name, -LINE_SECONDS) >= LINE_SECONDS
        if self.screen.disable and (due or epoch == total):
            self.said[name] = now
            logger.info("%s", line)
