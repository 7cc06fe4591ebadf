"""Debian's chromium, headless, driven by Playwright; what needs it is skipped where it is missing.

PICTURES=folder keeps the screenshots that tests take.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here; `apt-get install chromium` brings it"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # As root, as CI runs, chromium has no sandbox; /dev/shm may be small in a container.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


def photograph(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def brightness(color: str) -> int:
    return sum(int(part) for part in color.removeprefix("rgb(").rstrip(")").split(",")[:3])
