"""Which run it is and where its files lie: what a trained model's folder says of itself."""

from dataclasses import dataclass
from typing import Any

from pipeline import UserError
from pipeline.config.grid import RunConfig
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json


@dataclass(frozen=True)
class RunRecord:
    """A run with its fingerprint: the key of its checkpoint and of its MLflow run."""

    run: RunConfig
    fingerprint: str
    dataset_sha256: str
    experiment: str
    paths: Paths


def load_run_record(name: str, experiment: str, paths: Paths) -> RunRecord:
    """Read the record that a trained model's folder carries; UserError if there is no whole one."""
    path = paths.model(name) / "model.json"
    metadata = read_json(path)
    try:
        run = RunConfig.model_validate(metadata["run"])
        return RunRecord(
            run, metadata["fingerprint"], metadata["dataset_sha256"], experiment, paths
        )
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} cannot be used: it describes no run; run `dvc repro` to make it again"
        ) from None


def load_timing(record: RunRecord) -> dict[str, Any]:
    """Read what .checkpoints/ has of a training's times; nothing if it was trained elsewhere."""
    try:
        return read_json(record.paths.checkpoint_dir(record.fingerprint) / "timing.json")
    except UserError:
        return {}
