"""What DVC was writing when a kill came: removed, unless a living DVC is writing it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DVC_CONFIG, clean_environment
from filelock import FileLock

from pipeline.config.paths import Paths
from pipeline.workflow.repair import repair, repair_register

STAGE = "stages: {a: {cmd: cp b.txt a.txt, deps: [b.txt], outs: [a.txt]}}"


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=root, env=clean_environment(), capture_output=True, text=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a DVC project that has run."""
    assert dvc(tmp_path, "init", "--no-scm", "-q").returncode == 0
    (tmp_path / ".dvc" / "config").write_text(DVC_CONFIG)
    (tmp_path / "dvc.yaml").write_text(STAGE)
    (tmp_path / "b.txt").write_text("b")
    assert dvc(tmp_path, "repro", "-q").returncode == 0
    return tmp_path


@pytest.mark.parametrize("torn", ["", '{"write": {"a.t'])
def test_dvc_works_after_its_register_was_torn(
    project: Path, torn: str, caplog: pytest.LogCaptureFixture
) -> None:
    register = project / ".dvc" / "tmp" / "rwlock"
    assert register.exists()
    register.write_text(torn)
    (project / "a.txt").unlink()
    assert "JSON structure is corrupted" in dvc(project, "repro").stderr
    repair(Paths(project))
    assert "was torn by a kill, and is removed" in caplog.text
    assert dvc(project, "repro", "-q").returncode == 0
    assert (project / "a.txt").exists()


def test_dvc_works_after_its_run_cache_was_cut_off(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the instant before the outputs it is a whole entry to DVC, and the newest."""
    (entry,) = (project / ".dvc" / "cache" / "runs").glob("*/*/*")
    torn = entry.with_name(".x.tmp")
    torn.write_text(entry.read_text().partition("outs:")[0])
    later = entry.stat().st_mtime + 10
    os.utime(torn, (later, later))
    (project / "dvc.lock").unlink()
    assert "'outs'" in dvc(project, "repro").stderr
    repair(Paths(project))
    assert "was cut off by a kill, and is removed" in caplog.text
    assert "is cached - skipping run" in dvc(project, "repro").stdout


def test_a_whole_one_stays_and_one_that_is_being_written_too(tmp_path: Path) -> None:
    register = tmp_path / ".dvc" / "tmp" / "rwlock"
    register.parent.mkdir(parents=True)
    repair_register(Paths(tmp_path))
    register.write_text("{}")
    repair_register(Paths(tmp_path))
    assert register.read_text() == "{}"
    register.write_text("")
    with FileLock(register.with_suffix(".lock")):
        repair_register(Paths(tmp_path))
    assert register.exists()
