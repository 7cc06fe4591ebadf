"""DVC's register of who uses which file, torn by a kill: removed, unless DVC is writing it."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DVC_CONFIG, clean_environment
from filelock import FileLock

from pipeline.config.paths import Paths
from pipeline.workflow.lock_repair import repair_locks

STAGE = "stages: {a: {cmd: echo a > a.txt, outs: [a.txt]}}"


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=root, env=clean_environment(), capture_output=True, text=True
    )


@pytest.fixture
def register(tmp_path: Path) -> Path:
    """Make a DVC project that has run; returns where DVC keeps its register."""
    assert dvc(tmp_path, "init", "--no-scm", "-q").returncode == 0
    (tmp_path / ".dvc" / "config").write_text(DVC_CONFIG)
    (tmp_path / "dvc.yaml").write_text(STAGE)
    assert dvc(tmp_path, "repro", "-q").returncode == 0
    found = tmp_path / ".dvc" / "tmp" / "rwlock"
    assert found.exists()
    return found


@pytest.mark.parametrize("torn", ["", '{"write": {"a.t'])
def test_dvc_works_again(register: Path, torn: str, caplog: pytest.LogCaptureFixture) -> None:
    root = register.parents[2]
    register.write_text(torn)
    (root / "a.txt").unlink()
    assert "JSON structure is corrupted" in dvc(root, "repro").stderr
    repair_locks(Paths(root))
    assert "was torn by a kill, and is removed" in caplog.text
    assert dvc(root, "repro", "-q").returncode == 0
    assert (root / "a.txt").exists()


def test_a_whole_one_stays_and_one_that_is_being_written_too(tmp_path: Path) -> None:
    register = tmp_path / ".dvc" / "tmp" / "rwlock"
    register.parent.mkdir(parents=True)
    repair_locks(Paths(tmp_path))
    register.write_text("{}")
    repair_locks(Paths(tmp_path))
    assert register.read_text() == "{}"
    register.write_text("")
    with FileLock(register.with_suffix(".lock")):
        repair_locks(Paths(tmp_path))
    assert register.exists()
