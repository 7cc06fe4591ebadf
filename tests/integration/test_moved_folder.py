"""The project's folder moved or copied: make sees that its .venv is another folder's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def setup(folder: Path) -> str:
    path = os.environ["PATH"]
    done = subprocess.run(
        ["make", "setup", f"PYTHON={sys.base_exec_prefix}/bin/python3.11"],
        cwd=folder,
        env={"PATH": path, "HOME": str(Path.home())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(folder: Path) -> str:
    """Where a script of the folder's .venv really runs."""
    done = subprocess.run([folder / ".venv" / "bin" / "pip", "--version"], capture_output=True)
    return done.stdout.decode()


@pytest.mark.parametrize("how", ["move", "copy"])
def test_a_foreign_venv_is_made_anew_and_an_own_one_kept(tmp_path: Path, how: str) -> None:
    first, second = tmp_path / "first study", tmp_path / "друге місце"
    first.mkdir()
    shutil.copy(ROOT / "Makefile", first)
    (first / "requirements.lock").write_text("")
    assert "Installing" in setup(first)
    assert "Installing" not in setup(first)
    if how == "move":
        first.rename(second)
    else:
        subprocess.run(["cp", "-a", str(first), str(second)], check=True)
    said = setup(second)
    assert "of another folder" in said
    assert "Installing" in said
    assert str(second) in pip(second)
    assert "Installing" not in setup(second)


def test_a_link_to_another_folders_venv_is_left_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / "Makefile", tmp_path / name)
        (tmp_path / name / "requirements.lock").write_text("")
    setup(tmp_path / "one")
    (tmp_path / "two" / ".venv").symlink_to(tmp_path / "one" / ".venv")
    assert "another folder" not in setup(tmp_path / "two")
