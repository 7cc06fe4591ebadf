"""From an MLflow run back to its code, parameters and files: `python -m pipeline restore RUN`."""

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from pipeline import UserError
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.storage import atomic, dvc_lock
from pipeline.storage.yaml_io import read_yaml
from pipeline.tracking.provenance import RunProvenance, find_provenance


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
        restored, missing = checkout_code(provenance, paths)
        # The run's own parameters: under `dvc exp run` they are in no commit.
        atomic.write_text(paths.params, provenance.params.read_text())
        restored.append(f"params.yaml is the one {provenance.name} was trained with")
        if provenance.lock is None:
            missing.append("files: the run knows no dvc.lock; `sync` never saw it trained")
            return RestoreResult(provenance.name, restored, missing)
        stages = dict(read_yaml(provenance.lock)["stages"])
        dvc_lock.write(paths.dvc_lock, dvc_lock.entries(paths.dvc_lock) | stages)
    outs, absent = restore_outputs(stages, paths)
    return RestoreResult(provenance.name, restored + outs, missing + absent)


def require_clean_worktree(paths: Paths) -> None:
    """Raise UserError where there is no git repository or uncommitted work."""
    status = _run(paths, "git", "status", "--porcelain", "--untracked-files=no")
    if status.returncode:
        raise UserError(
            f"{paths.root.resolve()} is no git repository, and a run's code is a commit; "
            "clone it with git"
        )
    if status.stdout.strip():
        names = ", ".join(line[3:] for line in status.stdout.splitlines()[:5])
        raise UserError(
            f"there is uncommitted work ({names}); commit it or `git stash` it, then restore again"
        )


def checkout_code(provenance: RunProvenance, paths: Paths) -> tuple[list[str], list[str]]:
    """Check out the run's commit, detached, and apply what was changed on top of it.

    Returns a line for what was restored, and for what is missing.
    """
    commit = provenance.commit
    if _run(paths, "git", "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise UserError(
            f"commit {commit} of run {provenance.name} is not in this repository; `git fetch` first"
        )
    restored, missing = [f"code is commit {commit[:12]}"], []
    if _run(paths, "git", "rev-parse", "HEAD").stdout.strip() != commit:
        moved = _run(paths, "git", "checkout", "--quiet", "--detach", commit)
        if moved.returncode:
            raise UserError(f"git checkout {commit} failed: {moved.stderr.strip()[-300:]}")
        restored[0] += "; `git switch -` goes back"
    if provenance.diff is not None:
        if _run(paths, "git", "apply", str(provenance.diff)).returncode == 0:
            restored.append("the run's uncommitted changes of code are applied")
        else:
            missing.append(
                "code: the run's uncommitted changes do not apply; see its artifact git.diff"
            )
    return restored, missing


def restore_outputs(stages: dvc_lock.Entries, paths: Paths) -> tuple[list[str], list[str]]:
    """Bring every output of the lock entries back: from DVC's cache, else from its remote.

    Returns a line for what was restored, and for what is missing.
    """
    from dvc.repo import Repo

    in_cache = _run(paths, "dvc", "checkout", *stages).returncode == 0
    if not in_cache and _run(paths, "dvc", "remote", "list").stdout.strip():
        _run(paths, "dvc", "pull", *stages)
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


def _run(paths: Paths, *command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, cwd=paths.root, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(f"restore needs {command[0]}, which is not installed") from None
