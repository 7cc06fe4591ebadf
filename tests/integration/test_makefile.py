"""`make` in a folder with an awkward name, and in shells that export what was meant for others."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment

# The Python that the project's environment was made of.
BASE = Path(sys.base_prefix) / "bin" / "python3"
# What the Makefile needs of a system.
TOOLS = ("make", "sh", "grep", "cat", "cmp", "tr", "paste", "echo")
# What a shell's recipe would take apart, were it not quoted.
AWKWARD = "Ann's study, тека & #1"
STUB = """#!/bin/sh
echo "python $*; PYTHONPATH=$PYTHONPATH; PIP_USER=$PIP_USER; PIP_TARGET=$PIP_TARGET"
"""


def make(root: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    # Nor what a `make test` around it tells its children.
    foreign = ("PORT", "MFLAGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    clean = {key: value for key, value in clean_environment().items() if key not in foreign}
    return subprocess.run(
        ["make", *arguments], cwd=root, env=clean | environment, capture_output=True, text=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in an awkward folder, whose .venv is ready and has a `python` that tells of it."""
    root = tmp_path / AWKWARD
    (root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", root)
    write_locks(root, "")
    (root / ".venv" / "requirements.lock").touch()
    (root / "data" / "cifar10").mkdir(parents=True)
    put_python(root, STUB)
    # As pip writes it: a script of this very folder.
    pip = root / ".venv" / "bin" / "pip"
    pip.write_text(f"#!{root}/.venv/bin/python\n")
    return root


def write_locks(root: Path, content: str) -> None:
    (root / "requirements.lock").write_text(content)
    (root / "requirements-cuda.lock").touch()


def put_python(root: Path, script: str) -> None:
    python = root / ".venv" / "bin" / "python"
    python.write_text(script)
    python.chmod(0o755)


def test_paths_are_quoted_and_foreign_settings_kept_out(project: Path) -> None:
    foreign = {"PYTHONPATH": "/other", "PIP_USER": "1", "PIP_TARGET": "/other"}
    done = make(project, "test-stress", **foreign)
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert f"PYTHONPATH={project}:{project}/tests; PIP_USER=0; PIP_TARGET=" in last
    assert "/other" not in done.stdout
    assert "PYTHONPATH=; PIP_USER=0" in make(project, "params", **foreign).stdout


def test_only_a_port_of_the_command_line_is_taken(project: Path) -> None:
    assert "python -m pipeline ui;" in make(project, "ui", PORT="8080").stdout
    assert "python -m pipeline ui --port 5001;" in make(project, "ui", "PORT=5001").stdout


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A project without .venv, beside a folder `bin` that is the whole PATH, without a Python."""
    root = tmp_path / AWKWARD
    root.mkdir()
    shutil.copy(ROOT / "Makefile", root)
    write_locks(root, "")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return root


def put_old_python(path: Path) -> None:
    path.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.10.13\n')
    path.chmod(0o755)


def test_without_a_python_that_fits_it_is_said_in_one_line(bare: Path, tmp_path: Path) -> None:
    put_old_python(tmp_path / "bin" / "python3")
    done = make(bare, "setup", PATH=str(tmp_path / "bin"))
    assert done.returncode != 0
    assert done.stderr.startswith(
        "error: Python 3.11, 3.12 or 3.13 is needed; tried python3.11 (none), python3.12 (none), "
        "python3.13 (none), python3 (Python 3.10.13). Install one, or set PYTHON=/path/to/python\n"
    )
    done = make(bare, "setup", "PYTHON=python3", PATH=str(tmp_path / "bin"))
    assert "needed; tried python3 (Python 3.10.13). Install" in done.stderr
    assert not (bare / ".venv").exists()


@pytest.mark.slow
def test_the_first_python_that_fits_is_taken_and_another_one_on_demand(
    bare: Path, tmp_path: Path
) -> None:
    put_old_python(tmp_path / "bin" / "python3.11")
    (tmp_path / "bin" / "python3.12").symlink_to(BASE)
    said = make(bare, "setup", PATH=str(tmp_path / "bin")).stdout
    assert "Making .venv with Python 3." in said
    assert "(python3.12): there is none yet" in said
    path = {"PATH": str(tmp_path / "bin")}
    assert "Making" not in make(bare, "setup", "PYTHON=python3.12", **path).stdout
    done = make(bare, "setup", "PYTHON=python3.11", **path)
    assert "tried python3.11 (Python 3.10.13)" in done.stderr
    assert "Making" not in make(bare, "setup", **path).stdout, "the one there is stays"


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        yield int(bound.getsockname()[1])


@pytest.mark.slow
def test_a_taken_port_is_one_line(port: int) -> None:
    command = [sys.executable, "-m", "pipeline", "ui", "--port", str(port)]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {port} of 127.0.0.1 is taken, perhaps by another")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_ui_is_served_in_an_awkward_folder(project: Path, port: int) -> None:
    put_python(project, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    shutil.copytree(ROOT / "pipeline", project / "pipeline")
    free = port + 1
    server = subprocess.Popen(
        ["make", "ui", f"PORT={free}"],
        cwd=project,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert answers(f"http://127.0.0.1:{free}/health", server)
        assert (project / "mlflow.db").exists()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def answers(url: str, server: "subprocess.Popen[bytes]") -> bool:
    for _ in range(600):
        assert server.poll() is None, "it ended"
        try:
            with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310  # of this test
                return response.status == 200
        except OSError:
            time.sleep(0.5)
    return False


@pytest.mark.slow
def test_setup_installs_into_the_venv_whatever_pip_is_told_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / AWKWARD
    root.mkdir()
    shutil.copy(ROOT / "Makefile", root)
    information = "tiny-1.dist-info"
    with zipfile.ZipFile(root / "tiny-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{information}/WHEEL", tags)
        wheel.writestr(f"{information}/RECORD", "")
    write_locks(root, "./tiny-1-py3-none-any.whl\n")
    foreign = {"PIP_USER": "1", "PIP_TARGET": str(tmp_path / "target"), "PYTHONPATH": "/other"}
    done = make(root, "setup", f"PYTHON={sys.executable}", **foreign)
    assert done.returncode == 0, done.stderr
    assert list(root.glob(".venv/lib/*/site-packages/tiny.py"))
