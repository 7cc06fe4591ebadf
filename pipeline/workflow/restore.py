"""From an MLflow run back to its code, parameters and files: `python -m pipeline restore RUN`."""

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from pipeline import UserError
from pipeline.storage import atomic, dvc_lock
from pipeline.config.loader import load_config
from pipeline.storage.yaml_io import read_yaml
from pipeline.config.paths import Paths
from pipeline.tracking.provenance import RunProvenance, find_provenance


class RestoreResult(NamedTuple):
    """What was brought back, and what could not be, each a line for the person."""

    run: str
    done: list[str]
    missing: list[str]


def restore(wanted: str, paths: Paths) -> RestoreResult:
    """Bring the workspace to an MLflow run, named by its id or name; uncommitted work is never overwritten.

    UserError, before anything is touched, if there is no such run, its commit is not here, or the tree is not clean.
    """
    require_clean_worktree(paths)
    with tempfile.TemporaryDirectory() as folder:
        origin = find_provenance(wanted, load_config(paths.params).tracking.experiment, paths, Path(folder))
        done, missing = checkout_code(origin, paths)
        # The run's own parameters: under `dvc exp run` they are in no commit.
        atomic.write_text(paths.params, origin.params.read_text())
        done.append(f"params.yaml is the one {origin.name} was trained with")
        if origin.lock is None:
            return RestoreResult(
                origin.name, done, [*missing, "files: the run knows no dvc.lock; `sync` never saw it trained"]
            )
        stages = dict(read_yaml(origin.lock)["stages"])
        dvc_lock.write(paths.dvc_lock, dvc_lock.entries(paths.dvc_lock) | stages)
    brought, absent = restore_outputs(stages, paths)
    return RestoreResult(origin.name, done + brought, missing + absent)


def require_clean_worktree(paths: Paths) -> None:
    changed = _run(paths, "git", "status", "--porcelain", "--untracked-files=no")
    if changed.returncode:
        raise UserError(
            f"{paths.root.resolve()} is no git repository, and a run's code is a commit; clone it with git"
        )
    if changed.stdout.strip():
        names = ", ".join(line[3:] for line in changed.stdout.splitlines()[:5])
        raise UserError(f"there is uncommitted work ({names}); commit it or `git stash` it, then restore again")


def checkout_code(origin: RunProvenance, paths: Paths) -> tuple[list[str], list[str]]:
    """Check out the run's commit, detached, and what was changed on top of it when the run was made."""
    if _run(paths, "git", "cat-file", "-e", f"{origin.commit}^{{commit}}").returncode:
        raise UserError(f"commit {origin.commit} of run {origin.name} is not in this repository; `git fetch` first")
    done, missing = [f"code is commit {origin.commit[:12]}"], []
    if _run(paths, "git", "rev-parse", "HEAD").stdout.strip() != origin.commit:
        moved = _run(paths, "git", "checkout", "--quiet", "--detach", origin.commit)
        if moved.returncode:
            raise UserError(f"git checkout {origin.commit} failed: {moved.stderr.strip()[-300:]}")
        done[0] += "; `git switch -` goes back"
    if origin.diff is not None:
        if _run(paths, "git", "apply", str(origin.diff)).returncode == 0:
            done.append("the run's uncommitted changes of code are applied")
        else:
            missing.append("code: the run's uncommitted changes do not apply; see its artifact git.diff")
    return done, missing


def restore_outputs(stages: dvc_lock.Entries, paths: Paths) -> tuple[list[str], list[str]]:
    """Bring every output of the lock entries back: from DVC's cache, else from its remote."""
    from dvc.repo import Repo

    if _run(paths, "dvc", "checkout", *stages).returncode and _run(paths, "dvc", "remote", "list").stdout.strip():
        _run(paths, "dvc", "pull", *stages)
    outs = {out.def_path: out for stage in Repo(str(paths.root)).index.stages for out in stage.outs}
    brought, absent = [], []
    for entry in stages.values():
        for path, md5 in dvc_lock.outs(entry).items():
            if path in outs and outs[path].exists and outs[path].get_hash().value == md5:
                brought.append(f"{path} is back")
            else:
                absent.append(f"{path} (md5 {md5}): neither in DVC's cache nor in its remote; `dvc repro` makes it")
    return brought, absent


def _run(paths: Paths, *command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, cwd=paths.root, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(f"restore needs {command[0]}, which is not installed") from None
