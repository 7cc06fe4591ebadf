"""What `dvc repro` would do now, stage by stage, and why, and how long it takes.

DVC's own `status` stops at the first stale stage; here what follows from it is worked out, with
DVC's run cache: a stage whose command, parameters and dependencies it has seen before takes no
time, and what it gave is known.
"""

from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline import UserError
from pipeline.config.grid import Config, flatten_dict
from pipeline.config.paths import Paths
from pipeline.storage import dvc_lock
from pipeline.workflow.durations import (
    estimate_seconds,
    format_duration,
    side_by_side_seconds,
)
from pipeline.workflow.repository import require_clone
from pipeline.workflow.run_cache import load_run_cache

# MD5 by path; None for what will change.
Hashes = dict[str, str | None]
StageState = Literal["up_to_date", "cached", "stale"]


class StageStatus(NamedTuple):
    """One stage; `seconds` is what earlier runs say, None if there were none.

    `needs` are the stages whose outputs it reads.
    """

    stage: str
    state: StageState
    reasons: list[str]
    seconds: float | None
    needs: list[str]


class StageInputs(NamedTuple):
    """What a stage is made of: its command, flat parameters, and its dependencies' hashes."""

    cmd: str
    params: dict[str, Any]
    deps: Hashes


def plan(config: Config, paths: Paths) -> list[StageStatus]:
    """Return every stage's status in the order in which DVC would take them.

    Raises UserError where DVC has nothing to work on, or cannot read it.
    """
    require_clone(paths)
    repo, before = _stages_with_needs(paths)
    locked = dvc_lock.entries(paths.dvc_lock)
    remembered = cache(lambda: load_run_cache(repo))
    produced: Hashes = {}
    changing: set[str] = set()
    statuses = []
    for stage in TopologicalSorter(before).static_order():
        inputs = StageInputs(
            stage.cmd, current_params(stage), current_deps(stage, produced, changing)
        )
        entry = locked.get(stage.name)
        reasons = changed_inputs(inputs, entry) + changed_outputs(stage)
        state: StageState = "up_to_date"
        if reasons:
            entry = find_cached(repo, inputs, remembered)
            state = "cached" if entry else "stale"
        outs = dvc_lock.outs(entry) if entry else {}
        produced |= {out.def_path: outs.get(out.def_path) for out in stage.outs}
        if state != "up_to_date":
            changing |= {out.def_path for out in stage.outs}
        seconds = estimate_seconds(stage.name, config, paths) if state == "stale" else 0.0
        needs = [needed.name for needed in before[stage]]
        statuses.append(StageStatus(stage.name, state, reasons, seconds, needs))
    return statuses


def _stages_with_needs(paths: Paths) -> tuple[Any, dict[Any, list[Any]]]:
    """Return DVC's repository, and of each of its stages those that must come before."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(paths.root))
        graph = repo.index.graph
    except DvcException as error:
        raise UserError(f"dvc.yaml cannot be read: {error}") from None
    return repo, {stage: list(graph.successors(stage)) for stage in graph}


def current_params(stage: Any) -> dict[str, Any]:
    """Read the parameters that a stage tracks, flat."""
    params: dict[str, Any] = {}
    for dependency in stage.params:
        params |= dependency.read_params()
    return flatten_dict(params)


def current_deps(stage: Any, produced: Hashes, changing: set[str]) -> Hashes:
    """Hash the files as they are, or take what the stages before will have given.

    None for what is not known yet: a folder in which an output is among those that are `changing`.
    """
    hashes: Hashes = {}
    for dependency in stage.deps:
        path = dependency.def_path
        if hasattr(dependency, "read_params"):
            continue
        if path in produced:
            hashes[path] = produced[path]
        elif any(out.startswith(f"{path}/") for out in changing) or not dependency.exists:
            hashes[path] = None
        else:
            hashes[path] = dependency.get_hash().value
    return hashes


def changed_inputs(now: StageInputs, entry: dict[str, Any] | None) -> list[str]:
    """Say why a stage is not what its lock entry says; empty if it is."""
    if entry is None:
        return ["was never run here"]
    was = stage_inputs(entry)
    reasons = [] if now.cmd == was.cmd else [f"command: {was.cmd} -> {now.cmd}"]
    for key in sorted(was.params.keys() | now.params.keys()):
        old, new = was.params.get(key, "absent"), now.params.get(key, "absent")
        if old != new:
            reasons.append(f"{key}: {old} -> {new}")
    for path in sorted(now.deps.keys() | was.deps.keys()):
        if path not in now.deps or path not in was.deps:
            article = "a new" if path in now.deps else "no longer a"
            reasons.append(f"{path} is {article} dependency")
        elif now.deps[path] is None:
            reasons.append(f"{path} will be made anew")
        elif now.deps[path] != was.deps[path]:
            kind = "code" if path.startswith("pipeline") else "data"
            old, new = str(was.deps[path])[:8], str(now.deps[path])[:8]
            reasons.append(f"{kind} {path}: {old} -> {new}")
    return reasons


def changed_outputs(stage: Any) -> list[str]:
    """Name outputs that are not on the disk as the lock has them."""
    reasons = []
    for out in stage.outs:
        if not out.exists:
            reasons.append(f"{out.def_path} is missing")
        elif out.hash_info and out.changed_checksum():
            reasons.append(f"{out.def_path} was changed by hand")
    return reasons


def find_cached(repo: Any, inputs: StageInputs, remembered: Any) -> dict[str, Any] | None:
    """Return the run cache's entry of a stage made of the same, whose outputs the cache holds."""
    if None in inputs.deps.values():
        return None
    same = (entry for entry in remembered() if stage_inputs(entry) == inputs)
    return next((entry for entry in same if outputs_in_cache(repo, entry)), None)


def stage_inputs(entry: dict[str, Any]) -> StageInputs:
    """Return what an entry of dvc.lock or of the run cache was made of."""
    params: dict[str, Any] = {}
    for values in entry.get("params", {}).values():
        params |= values
    return StageInputs(entry["cmd"], flatten_dict(params), {**dvc_lock.deps(entry)})


def outputs_in_cache(repo: Any, entry: dict[str, Any]) -> bool:
    """Tell whether DVC's cache holds every output of an entry."""
    digests = dvc_lock.outs(entry).values()
    return all(Path(repo.cache.local.oid_to_path(md5)).exists() for md5 in digests)


def count_cells(statuses: list[StageStatus]) -> int:
    """Count the runs and latent sizes of what is not up to date: so many can go side by side."""
    names = [status.stage for status in statuses if status.state != "up_to_date"]
    return len({name.partition("@")[2] for name in names if "@" in name}) or 1


def format_plan(statuses: list[StageStatus], jobs: int) -> list[str]:
    """Write a line for each stage that is not up to date, and one for all of it."""
    pending = [status for status in statuses if status.state != "up_to_date"]
    lines = []
    for status in pending:
        cached = status.state == "cached"
        took = "from the run cache" if cached else format_duration(status.seconds)
        lines.append(f"{status.stage}: {status.state}, {took}: {'; '.join(status.reasons)}")
    states = [status.state for status in statuses]
    summary = (
        f"{states.count('up_to_date')} stages are up to date, {states.count('cached')} come from "
        f"the run cache, {states.count('stale')} run"
    )
    if "stale" in states:
        known = sum(status.seconds or 0.0 for status in statuses)
        unknown = sum(status.seconds is None for status in statuses)
        rest = f" and {unknown} of unknown length" if unknown else ""
        summary += f": {format_duration(known)}{rest}, one after another"
        if jobs > 1 and not unknown:
            seconds = {status.stage: status.seconds or 0.0 for status in pending}
            needs = {status.stage: status.needs for status in pending}
            together = side_by_side_seconds(seconds, needs, jobs)
            summary += f", {format_duration(together)} by `make repro`, {jobs} at once"
    return [*lines, summary]
