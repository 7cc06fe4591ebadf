"""What describes a run in MLflow: where it came from, its parameters as they took effect, its data, its machine."""

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import UserError
from pipeline.config.system_info import system_summary, package_versions
from pipeline.config.schema import RunConfig
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Kept apart from the code's changes: params.yaml is an artifact of its own, the others are results.
RESULTS = ("params.yaml", "dvc.lock", "reports")


@dataclass(frozen=True)
class RunRecord:
    """Which MLflow run is meant, and what describes it."""

    run: RunConfig
    fingerprint: str
    dataset_sha256: str
    experiment: str
    paths: Paths


def tags(record: RunRecord, trained_here: bool) -> dict[str, str]:
    """Origin and machine; of a training that is over, the machine that its times were taken on, if it is known."""
    commit = _git(record, "rev-parse", "HEAD").strip() or "unknown"
    found = {
        "fingerprint": record.fingerprint,
        "dvc_stage": f"train@{record.run.name}",
        "dataset_sha256": record.dataset_sha256,
        "git_commit": commit,
        "git_dirty": str(bool(_git(record, "status", "--porcelain").strip())).lower(),
        "mlflow.source.git.commit": commit,
        "mlflow.source.name": "dvc repro",
    }
    if name := os.environ.get("DVC_EXP_NAME"):
        found["dvc_exp_name"] = name
    made_on: dict[str, Any] = {"machine": system_summary(), "versions": package_versions()} if trained_here else load_timing(record)
    if "machine" in made_on:
        found |= {"machine": made_on["machine"]}
        found |= {f"version.{name}": number for name, number in made_on["versions"].items()}
    return found


def load_timing(record: RunRecord) -> dict[str, Any]:
    """What .runs/ has of a training's times; nothing if it was trained elsewhere."""
    try:
        return read_json(record.paths.checkpoint_dir(record.fingerprint) / "timing.json")
    except UserError:
        return {}


def describe(client: "MlflowClient", run_id: str, record: RunRecord) -> None:
    """The parameters as they took effect and as a file, what is not committed, and the dataset."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    run = record.run
    effective = run.to_dict()
    effective |= effective.pop("recipe")
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flatten_dict(effective).items()])
    client.log_dict(run_id, effective, "effective_params.yaml")
    client.log_artifact(run_id, str(record.paths.params))
    if diff := _git(record, "diff", "HEAD", "--", ":/", *(f":(top,exclude){name}" for name in RESULTS)):
        client.log_text(run_id, diff, "git.diff")
    # The store keeps 36 characters of a digest; the whole SHA-256 is a tag.
    name = run.recipe.data.dataset
    dataset = Dataset(name, record.dataset_sha256[:36], "local", f'{{"uri": "data/{name}"}}')
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def flatten_dict(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"epochs": 50}} -> {"train.epochs": 50}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten_dict(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _git(record: RunRecord, *arguments: str) -> str:
    """Output of a git command; empty where there is no git or no repository."""
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=record.paths.root, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
