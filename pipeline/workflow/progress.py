"""How far stages are that run at once: bars on a terminal, lines in a log.

A log or a CI's page shows nothing of a bar before it ends: hours of silence.
"""

import logging
import re
import sys
import time
from types import TracebackType

from rich.progress import Progress, TaskID

from pipeline.workflow.durations import format_duration

LINE_SECONDS = 60
# What a training says of each epoch; `format_epoch` writes it.
EPOCH = re.compile(r"\S+ epoch (\d+)/(\d+): ")
logger = logging.getLogger(__name__)


def on_terminal() -> bool:
    """Tell whether somebody watches: standard output is a terminal."""
    return sys.stdout.isatty()


class StagesProgress:
    """Of stages run at once: a bar for all and one for each training, or lines, one a minute."""

    def __init__(self, num_stages: int) -> None:
        self.screen = Progress(disable=not on_terminal())
        self.all = self.screen.add_task("stages", total=num_stages)
        self.bars: dict[str, TaskID] = {}
        self.said: dict[str, float] = {}

    def __enter__(self) -> "StagesProgress":
        self.screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.screen.stop()

    def line(self, stage: str, text: str) -> None:
        """Show a line that a stage has written; of its epochs' lines one a minute and the last."""
        epoch = EPOCH.match(text)
        if epoch is None:
            self._say(text)
            return
        done, total = map(int, epoch.groups())
        if stage not in self.bars:
            self.bars[stage] = self.screen.add_task(stage, total=total)
        self.screen.update(self.bars[stage], completed=done, visible=done < total)
        now = time.monotonic()
        due = now - self.said.get(stage, -LINE_SECONDS) >= LINE_SECONDS
        if self.screen.disable and (due or done == total):
            self.said[stage] = now
            self._say(text)

    def done(self, stage: str, seconds: float) -> None:
        """Show that a stage has ended well."""
        self.screen.advance(self.all)
        self._say(f"{stage}: done, {format_duration(seconds)}")

    def failed(self, stage: str, reason: str) -> None:
        """Show that a stage has failed."""
        self._say(f"{stage} failed: {reason}")

    def _say(self, text: str) -> None:
        if self.screen.disable:
            logger.info("%s", text)
        else:
            self.screen.console.print(text, markup=False, highlight=False, soft_wrap=True)
