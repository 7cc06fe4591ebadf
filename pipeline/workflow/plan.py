"""What `dvc repro` would do now, stage by stage, and why: which parameter, code or data changed, and how long it takes.

DVC's own `status` stops at the first stale stage; here what follows from it is worked out, with DVC's run cache:
a stage whose command, parameters and dependencies it has seen before takes no time, and what it gave is known.
"""

from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from pipeline import UserError
from pipeline.storage import dvc_lock
from pipeline.config.schema import Config
from pipeline.storage.yaml_io import read_yaml
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json
from pipeline.config.schema import flatten_dict

Hashes = dict[str, str | None]


class StageStatus(NamedTuple):
    """One stage: `state` is fresh, cached or runs; `seconds` is what earlier runs say, None if there were none."""

    stage: str
    state: str
    reasons: list[str]
    seconds: float | None


class StageInputs(NamedTuple):
    """What a stage is made of: its command, flat parameters, and each dependency's MD5, None if it will change."""

    cmd: str
    params: dict[str, Any]
    deps: Hashes


def plan(params: Config, paths: Paths) -> list[StageStatus]:
    """Every stage in the order in which DVC would take it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(paths.root))
        graph = repo.index.graph
        stages = list(TopologicalSorter({stage: list(graph.successors(stage)) for stage in graph}).static_order())
    except DvcException as error:
        raise UserError(f"dvc.yaml cannot be read: {error}") from None
    locked, seen = dvc_lock.entries(paths.dvc_lock), cache(lambda: load_run_cache(repo))
    produced: Hashes = {}
    steps = []
    for stage in stages:
        now = StageInputs(stage.cmd, current_params(stage), current_deps(stage, produced))
        entry = locked.get(stage.name)
        reasons = changed_inputs(now, entry) + changed_outputs(stage)
        known = None if reasons else entry
        if reasons and None not in now.deps.values():
            known = next((old for old in seen() if stage_inputs(old) == now and outputs_in_cache(repo, old)), None)
        state = "fresh" if not reasons else "cached" if known else "runs"
        produced |= {out.def_path: dvc_lock.outs(known).get(out.def_path) if known else None for out in stage.outs}
        seconds = estimate_seconds(stage.name, params, paths) if state == "runs" else 0.0
        steps.append(StageStatus(stage.name, state, reasons, seconds))
    return steps


def current_params(stage: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for dependency in stage.params:
        found |= dependency.read_params()
    return flatten_dict(found)


def current_deps(stage: Any, produced: Hashes) -> Hashes:
    """MD5 by path: of the files as they are, or of what the stages before will have given."""
    hashes: Hashes = {}
    for dependency in stage.deps:
        path = dependency.def_path
        if hasattr(dependency, "read_params"):
            continue
        inside = [made for made in produced if made.startswith(f"{path}/")]
        if path in produced:
            hashes[path] = produced[path]
        elif any(produced[made] is None for made in inside) or not dependency.exists:
            hashes[path] = None
        else:
            hashes[path] = dependency.get_hash().value
    return hashes


def changed_inputs(now: StageInputs, entry: dict[str, Any] | None) -> list[str]:
    """Why a stage is not what its lock entry says; empty if it is."""
    if entry is None:
        return ["was never run here"]
    was = stage_inputs(entry)
    reasons = [] if now.cmd == was.cmd else [f"command: {was.cmd} -> {now.cmd}"]
    reasons += [
        f"{key}: {was.params.get(key, 'absent')} -> {now.params.get(key, 'absent')}"
        for key in sorted(was.params.keys() | now.params.keys())
        if was.params.get(key, "absent") != now.params.get(key, "absent")
    ]
    for path in sorted(now.deps.keys() | was.deps.keys()):
        if path not in now.deps or path not in was.deps:
            reasons.append(f"{path} is {'a new' if path in now.deps else 'no longer a'} dependency")
        elif now.deps[path] is None:
            reasons.append(f"{path} will be made anew")
        elif now.deps[path] != was.deps[path]:
            kind = "code" if path.startswith("pipeline") else "data"
            reasons.append(f"{kind} {path}: {str(was.deps[path])[:8]} -> {str(now.deps[path])[:8]}")
    return reasons


def changed_outputs(stage: Any) -> list[str]:
    """Outputs that are not on the disk as the lock has them."""
    reasons = []
    for out in stage.outs:
        if not out.exists:
            reasons.append(f"{out.def_path} is missing")
        elif out.hash_info and out.changed_checksum():
            reasons.append(f"{out.def_path} was changed by hand")
    return reasons


def load_run_cache(repo: Any) -> list[dict[str, Any]]:
    """Everything that DVC's run cache remembers, newest first."""
    folder = Path(repo.cache.local.path).parent.parent / "runs"
    files = [path for path in folder.glob("*/*/*") if path.is_file() and path.suffix != ".tmp"]
    return [read_yaml(path) for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)]


def stage_inputs(entry: dict[str, Any]) -> StageInputs:
    """What an entry of dvc.lock or of the run cache was made of."""
    params = {key: value for values in entry.get("params", {}).values() for key, value in values.items()}
    return StageInputs(entry["cmd"], flatten_dict(params), {**dvc_lock.deps(entry)})


def outputs_in_cache(repo: Any, entry: dict[str, Any]) -> bool:
    return all(Path(repo.cache.local.oid_to_path(md5)).exists() for md5 in dvc_lock.outs(entry).values())


def estimate_seconds(stage: str, params: Config, paths: Paths) -> float | None:
    """From the times of earlier runs: of this very stage, else the mean of its kind."""
    kind, _, run = stage.partition("@")
    if kind == "train":
        return training_seconds(run, params, paths)
    own = paths.format_duration(stage)
    times = [own] if own.exists() else sorted(own.parent.glob(f"{kind}*.json"))
    known = [float(read_json(path)["seconds"]) for path in times]
    return mean(known) if known else None


def training_seconds(name: str, params: Config, paths: Paths) -> float | None:
    """Epochs times the seconds of an epoch: of the trainings of this variant and size, of this variant, or of any."""
    run = params.run(name)
    known: dict[str | None, list[float]] = {}
    for path in sorted(paths.checkpoints.glob("*/timing.json")):
        timing = read_json(path)
        each = mean(timing["epoch_seconds"])
        for key in (f"{timing.get('variant')}-{timing.get('latent_dim')}", timing.get("variant"), ""):
            known.setdefault(key, []).append(each)
    for key in (f"{run.variant}-{run.latent_dim}", run.variant, ""):
        if key in known:
            return run.recipe.train.epochs * mean(known[key])
    return None


def format_plan(steps: list[StageStatus]) -> list[str]:
    """A line for each stage that is not up to date, and one for all of it."""
    lines = []
    for step in steps:
        if step.state != "fresh":
            took = "from the run cache" if step.state == "cached" else format_duration(step.seconds)
            lines.append(f"{step.stage}: {step.state}, {took}: {'; '.join(step.reasons)}")
    count = {state: sum(step.state == state for step in steps) for state in ("fresh", "cached", "runs")}
    known = sum(step.seconds or 0.0 for step in steps)
    unknown = sum(step.seconds is None for step in steps)
    total = f"{format_duration(known)}{f' and {unknown} of unknown length' if unknown else ''}, one after another"
    lines.append(f"{count['fresh']} stages are up to date, {count['cached']} come from the run cache, "
                 f"{count['runs']} run" + (f": {total}" if count["runs"] else ""))  # fmt: skip  # one sentence
    return lines


def format_duration(seconds: float | None) -> str:
    if seconds is None:
        return "never timed"
    minutes, rest = divmod(round(seconds), 60)
    return f"about {minutes} min {rest} s" if minutes else f"about {rest} s"
