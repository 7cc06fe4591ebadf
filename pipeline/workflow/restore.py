"""From an MLflow run back to its code, parameters and files: `python -m pipeline restore RUN`."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.storage import atomic, dvc_lock
from pipeline.tracking.provenance import find_provenance
from pipeline.workflow.clean_worktree import require_clean_worktree, require_replaceable
from pipeline.workflow.dvc_command import own_environment
from pipeline.workflow.restore_code import checkout_code


class RestoreResult(NamedTuple):
    """What was brought back, and what could not be, each a line for the person."""

    run: str
    restored: list[str]
    missing: list[str]


def restore(query: str, paths: Paths) -> RestoreResult:
    """Bring the workspace to an MLflow run, named by its id or name.

    Uncommitted work is never overwritten. Raises UserError, before anything is touched, if there is
    no such run, its commit is not here, or the tree is not clean.
    """
    require_clean_worktree(paths)
    with tempfile.TemporaryDirectory() as folder:
        experiment = load_config(paths.params).tracking.experiment
        provenance = find_provenance(query, experiment, paths, Path(folder))
        stages = dvc_lock.entries(provenance.lock) if provenance.lock else {}
        require_replaceable(paths.params, provenance.code.params)
        restored, missing = checkout_code(provenance, paths)
        # The run's own parameters: under `dvc exp run` they are in no commit.
        atomic.write_bytes(paths.params, provenance.code.params)
        restored.append(f"params.yaml is the one {provenance.name} was trained with")
        if provenance.lock is None:
            missing.append("files: the run knows no dvc.lock; `sync` never saw it trained")
            return RestoreResult(provenance.name, restored, missing)
        dvc_lock.write(paths.dvc_lock, dvc_lock.entries(paths.dvc_lock) | stages)
    outs, absent = restore_outputs(stages, paths)
    return RestoreResult(provenance.name, restored + outs, missing + absent)


def restore_outputs(stages: dvc_lock.Entries, paths: Paths) -> tuple[list[str], list[str]]:
    """Bring every output of the lock entries back: from DVC's cache, else from its remote.

    Returns a line for what was restored, and for what is missing.
    """
    from dvc.repo import Repo

    in_cache = _dvc(paths, "checkout", *stages).returncode == 0
    if not in_cache and _dvc(paths, "remote", "list").stdout.strip():
        _dvc(paths, "pull", *stages)
    outs = {out.def_path: out for stage in Repo(str(paths.root)).index.stages for out in stage.outs}
    restored, missing = [], []
    for entry in stages.values():
        for path, md5 in dvc_lock.outs(entry).items():
            if path in outs and outs[path].exists and outs[path].get_hash().value == md5:
                restored.append(f"{path} is back")
            else:
                missing.append(
                    f"{path} (md5 {md5}): neither in DVC's cache nor in its remote; "
                    "`dvc repro` makes it"
                )
    return restored, missing


def _dvc(paths: Paths, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=paths.root, env=own_environment(), capture_output=True, text=True
    )
