"""The `dvc` of this very Python, whose stages find it as their `python`, too."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline import UserError


def run_dvc(
    root: Path, *arguments: str, environment: Mapping[str, str] | None = None, check: bool = True
) -> int:
    """Run `dvc` in `root`; returns its exit status. Raises UserError if `check` and it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    status = subprocess.run(command, cwd=root, env=own_environment(environment)).returncode
    if check and status:
        raise UserError(f"dvc {' '.join(arguments)} failed; see above")
    return status


def own_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Put this Python's folder first on the PATH: the shell's `python` may be another one."""
    changed = dict(os.environ if environment is None else environment)
    changed["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), changed.get("PATH", "")])
    return changed
