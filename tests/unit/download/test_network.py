"""A wrong proxy, certificate or name: the reason, and what to set; with real sockets and TLS."""

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import UserError
from pipeline.download import http as downloads
from pipeline.download.network import explain

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE")
VARIABLES += ("CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Proxy(http.server.BaseHTTPRequestHandler):
    """Of a company: it wants a password."""

    def do_CONNECT(self) -> None:
        self.send_error(407, "Proxy Authentication Required")

    def log_message(self, *arguments: object) -> None:
        pass


def serving(server: http.server.HTTPServer) -> Iterator[int]:
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def proxy() -> Iterator[int]:
    yield from serving(http.server.HTTPServer(("127.0.0.1", 0), Proxy))


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[int]:
    if not shutil.which("openssl"):
        pytest.skip("makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.HTTPServer(("127.0.0.1", 0), Proxy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield from serving(server)


def refusal(url: str, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        downloads.download(url, folder / "file")
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert said.startswith(url)
    return said


def test_a_proxy_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    said = refusal("https://example.org/x", tmp_path)
    assert "the proxy does not work, http://***@127.0.0.1:9 (Connection refused)" in said
    assert "set HTTPS_PROXY" in said
    assert "secret" not in said


def test_a_proxy_that_wants_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: int
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
    said = refusal("https://example.org/x", tmp_path)
    assert "the proxy does not work" in said
    assert "407" in said
    monkeypatch.setenv("HTTPS_PROXY", "http://:::")
    assert "proxy" in refusal("https://example.org/x", tmp_path)


def test_a_certificate_that_nobody_signed(tmp_path: Path, self_signed: int) -> None:
    said = refusal(f"https://127.0.0.1:{self_signed}/x", tmp_path)
    assert "its certificate is not trusted (certificate verify failed: self-signed" in said
    assert "set REQUESTS_CA_BUNDLE" in said


def test_certificates_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    said = refusal("https://127.0.0.1:9/x", tmp_path)
    assert "no certificates can be read" in said
    assert "/nowhere.pem" in said


def test_nobody_there_and_no_such_name(tmp_path: Path) -> None:
    said = refusal("http://127.0.0.1:9/x", tmp_path)
    assert "cannot be reached (Connection refused); is this machine online?" in said
    said = refusal("https://nowhere.invalid/x", tmp_path)
    assert "its name is not known here" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("code SELF_SIGNED_CERT_IN_CHAIN request to https://x failed", "NODE_EXTRA_CA_CERTS"),
        ("code ENOTFOUND syscall getaddrinfo", "is this machine online?"),
        ("code E404 Not found: https://x/y", "code E404 Not found"),
        ("<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed>", "SSL_CERT"),
        ("<urlopen error [Errno -3] Temporary failure in name resolution>", "HTTPS_PROXY"),
    ],
)
def test_what_npm_and_urllib_say(text: str, words: str) -> None:
    assert words in explain(text)
