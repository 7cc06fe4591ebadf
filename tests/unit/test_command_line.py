"""Every command ends alike: one clear line and a status, and a traceback for a mistake of ours."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment

COMMANDS = {
    "pipeline": ["params"],
    "pipeline.stages": ["fetch"],
    "pipeline.workflow.untracked": [],
}
RAISING = "from pipeline import UserError, command_line\nwith command_line():\n    raise {}"


def run(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_folder_that_is_no_study_is_one_line(tmp_path: Path, module: str) -> None:
    done = run("-m", module, *COMMANDS[module], cwd=tmp_path)
    assert done.returncode == 1
    assert re.match(
        r"error: \S*params.yaml is missing: run this in the project's folder", done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("UserError('train.epochs: too few')", 1, "error: train.epochs: too few\n"),
        ("KeyboardInterrupt", 130, ""),
        ("MemoryError", 1, "error: out of memory; lower train.batch_size or model.channels, or"),
        ("RuntimeError('CUDA out of memory.')", 1, "error: out of memory; lower train.batch_size"),
        ("OSError(28, 'No space left on device', 'a')", 1, "error: [Errno 28] No space left on"),
        ("ModuleNotFoundError(name='torch')", 1, f"error: {sys.executable} has no package torch"),
    ],
)
def test_what_a_person_can_mend_is_one_line(error: str, status: int, said: str) -> None:
    done = run("-c", RAISING.format(error))
    assert done.returncode == status
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)


@pytest.mark.parametrize(
    "error", ["RuntimeError('shapes differ')", "ModuleNotFoundError(name='pipeline.lost')"]
)
def test_our_own_mistake_keeps_its_traceback(error: str) -> None:
    done = run("-c", RAISING.format(error))
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
