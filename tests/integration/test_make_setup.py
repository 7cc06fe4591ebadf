"""When make sets .venv up anew: its locks are others, or it is another folder's; nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow
FOREIGN = "the one there is of another folder or Python"


def make_setup(folder: Path, *options: str) -> str:
    done = subprocess.run(
        ["make", *options, "setup", f"PYTHON={sys.base_prefix}/bin/python3"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(Path.home())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def planned(folder: Path) -> str:
    """What `make setup` would do there."""
    return make_setup(folder, "--dry-run")


def new_project(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements.lock", "requirements-cuda.lock"):
        (folder / name).write_text("")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is set up; whoever changes it changes it back."""
    folder = new_project(tmp_path_factory.mktemp("projects") / "first study")
    assert "there is none yet" in make_setup(folder)
    return folder


def test_its_locks_count_by_their_content(finished: Path) -> None:
    lock = finished / "requirements.lock"
    later = (finished / ".venv" / "requirements.lock").stat().st_mtime + 60
    os.utime(lock, (later, later))
    assert "Making" not in planned(finished), "a clone's files are new"
    lock.write_text("# another\n")
    assert "the one there is of other locks" in planned(finished)
    lock.write_text("")
    assert "Making" not in planned(finished)


def test_one_whose_python_is_gone_is_made_anew(finished: Path) -> None:
    python = finished / ".venv" / "bin" / "python"
    aside = python.rename(python.with_name("aside"))
    assert FOREIGN in planned(finished)
    aside.rename(python)


def test_one_that_was_copied_along_is_made_anew_and_works(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "друге місце"
    subprocess.run(["cp", "-a", str(finished), str(other)], check=True)
    assert FOREIGN in make_setup(other)
    pip = subprocess.run([other / ".venv" / "bin" / "pip", "--version"], capture_output=True)
    assert str(other) in pip.stdout.decode()
    assert "Making" not in planned(other)
    assert "Making" not in planned(finished)


def test_a_link_to_another_folders_is_left_alone(finished: Path, tmp_path: Path) -> None:
    other = new_project(tmp_path / "worktree")
    (other / ".venv").symlink_to(finished / ".venv")
    (other / "requirements.lock").write_text("# another\n")
    assert "Making" not in planned(other)
