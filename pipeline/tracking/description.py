"""What describes a run in MLflow: where it came from, its parameters as they took effect, its data, its machine."""

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import StudyError
from pipeline.machine import machine, versions
from pipeline.params import Run
from pipeline.paths import Paths
from pipeline.reading import read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Kept apart from the code's changes: params.yaml is an artifact of its own, the others are results.
RESULTS = ("params.yaml", "dvc.lock", "reports")


@dataclass(frozen=True)
class Identity:
    """Which MLflow run is meant, and what describes it."""

    run: Run
    fingerprint: str
    dataset_sha256: str
    experiment: str
    paths: Paths


def tags(identity: Identity, trained_here: bool) -> dict[str, str]:
    """Origin and machine; of a training that is over, the machine that its times were taken on, if it is known."""
    commit = _git(identity, "rev-parse", "HEAD").strip() or "unknown"
    found = {
        "fingerprint": identity.fingerprint,
        "dvc_stage": f"train@{identity.run.name}",
        "dataset_sha256": identity.dataset_sha256,
        "git_commit": commit,
        "git_dirty": str(bool(_git(identity, "status", "--porcelain").strip())).lower(),
        "mlflow.source.git.commit": commit,
        "mlflow.source.name": "dvc repro",
    }
    if name := os.environ.get("DVC_EXP_NAME"):
        found["dvc_exp_name"] = name
    made_on: dict[str, Any] = {"machine": machine(), "versions": versions()} if trained_here else timing(identity)
    if "machine" in made_on:
        found |= {"machine": made_on["machine"]}
        found |= {f"version.{name}": number for name, number in made_on["versions"].items()}
    return found


def timing(identity: Identity) -> dict[str, Any]:
    """What .runs/ has of a training's times; nothing if it was trained elsewhere."""
    try:
        return read_json(identity.paths.state(identity.fingerprint) / "timing.json")
    except StudyError:
        return {}


def describe(client: "MlflowClient", run_id: str, identity: Identity) -> None:
    """The parameters as they took effect and as a file, what is not committed, and the dataset."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    run = identity.run
    effective = run.described()
    effective |= effective.pop("recipe")
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flattened(effective).items()])
    client.log_dict(run_id, effective, "effective_params.yaml")
    client.log_artifact(run_id, str(identity.paths.params))
    if diff := _git(identity, "diff", "HEAD", "--", ":/", *(f":(top,exclude){name}" for name in RESULTS)):
        client.log_text(run_id, diff, "git.diff")
    # The store keeps 36 characters of a digest; the whole SHA-256 is a tag.
    name = run.recipe.data.dataset
    dataset = Dataset(name, identity.dataset_sha256[:36], "local", f'{{"uri": "data/{name}"}}')
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def flattened(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"epochs": 50}} -> {"train.epochs": 50}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _git(identity: Identity, *arguments: str) -> str:
    """Output of a git command; empty where there is no git or no repository."""
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=identity.paths.root, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
