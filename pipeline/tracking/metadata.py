"""What describes a run in MLflow: its origin, its parameters as they took effect, its data."""

import os
import subprocess
from typing import TYPE_CHECKING, Any

from pipeline.config.grid import flatten_dict
from pipeline.config.run_record import RunRecord, load_timing
from pipeline.config.system_info import package_versions, system_summary

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Kept apart from the code's changes: params.yaml is an artifact of its own, the others are results.
RESULTS = ("params.yaml", "dvc.lock", "reports")


def run_tags(record: RunRecord, trained_here: bool) -> dict[str, str]:
    """Return origin and machine; of a training that is over, the machine that it ran on."""
    commit = _git(record, "rev-parse", "HEAD").strip() or "unknown"
    tags = {
        "fingerprint": record.fingerprint,
        "dvc_stage": f"train@{record.run.name}",
        "dataset_sha256": record.dataset_sha256,
        "git_commit": commit,
        "git_dirty": str(bool(_git(record, "status", "--porcelain").strip())).lower(),
        "mlflow.source.git.commit": commit,
        "mlflow.source.name": "dvc repro",
    }
    if name := os.environ.get("DVC_EXP_NAME"):
        tags["dvc_exp_name"] = name
    made_on: dict[str, Any] = load_timing(record)
    if trained_here:
        made_on = {"machine": system_summary(), "versions": package_versions()}
    if "machine" in made_on:
        tags["machine"] = made_on["machine"]
        tags |= {f"version.{name}": number for name, number in made_on["versions"].items()}
    return tags


def log_description(client: "MlflowClient", run_id: str, record: RunRecord) -> None:
    """Log the parameters, what is not committed, and the dataset."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    run = record.run
    effective = run.to_dict()
    params = [Param(key, str(value)) for key, value in flatten_dict(effective).items()]
    client.log_batch(run_id, params=params)
    client.log_dict(run_id, effective, "effective_params.yaml")
    client.log_artifact(run_id, str(record.paths.params))
    without_results = [f":(top,exclude){name}" for name in RESULTS]
    if diff := _git(record, "diff", "HEAD", "--", ":/", *without_results):
        client.log_text(run_id, diff, "git.diff")
    # The store keeps 36 characters of a digest; the whole SHA-256 is a tag.
    name = run.data.dataset
    source = f'{{"uri": "data/{name}"}}'
    dataset = Dataset(name, record.dataset_sha256[:36], "local", source)
    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [context])])


def _git(record: RunRecord, *arguments: str) -> str:
    """Return the output of a git command; empty where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=record.paths.root,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
