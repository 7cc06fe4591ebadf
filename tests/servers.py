"""Real servers for tests, each in a process group of its own: MLflow, PostgreSQL, S3."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

Process = subprocess.Popen[bytes]
# Of the S3 server, which takes any.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def started(
    command: list[str], ready: Callable[[], bool], environment: dict[str, str] | None = None
) -> Process:
    """A server that is ready; one that does not get there is not left behind."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(ready)
    except BaseException:
        stop(process)
        raise
    return process


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def mlflow_server(port: int, backend: str, artifacts: str, environment: dict[str, str]) -> Process:
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend]
    command += ["--artifacts-destination", artifacts, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    inherited = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return started(
        command, lambda: answers(f"http://127.0.0.1:{port}/health"), inherited | environment
    )


def s3_server(port: int) -> Process:
    """Moto's S3, in memory."""
    return started(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        lambda: answers(f"http://127.0.0.1:{port}/"),
    )


def initdb() -> Path | None:
    """PostgreSQL's initdb; Debian keeps it off the path."""
    found = [Path(path) for path in [shutil.which("initdb")] if path]
    return next(iter([*found, *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]), None)


def postgres_server(folder: Path, port: int) -> Process:
    """PostgreSQL with its data in `folder`; it refuses to run as root and then is user postgres."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    tool = initdb()
    assert tool, "PostgreSQL is not installed"
    data = folder / "data"
    subprocess.run(
        [*user, str(tool), "-D", str(data), "-A", "trust", "-U", "postgres"], check=True, stdout=-3
    )
    command = [str(tool.parent / "postgres"), "-D", str(data), "-h", "127.0.0.1"]
    command += ["-p", str(port), "-k", str(folder)]
    return started([*user, *command], lambda: accepts(port))


def stop(process: Process) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  # a server above
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the server did not get there in time"
        time.sleep(0.2)
