"""Which run it is and where its files lie: what a trained model's folder says of itself."""

from dataclasses import dataclass
from typing import Any

from pipeline import UserError
from pipeline.config.grid import RunConfig
from pipeline.config.paths import Paths
from pipeline.storage.reading import read_json

# Under this key a model, its samples and its metrics say of which weights they are.
WEIGHTS = "weights_sha256"


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


def weights_sha256(name: str, paths: Paths) -> str | None:
    """Return which weights the run's model folder holds; None if it does not say.

    UserError if there is no such folder, or it is damaged.
    """
    return read_json(paths.model(name) / "model.json").get(WEIGHTS)


def load_measured(name: str, paths: Paths) -> dict[str, Any]:
    """Read what was measured of the model that is there; nothing of another training's.

    A model may be newer than its measurement: its evaluation failed, or has not been run yet.
    """
    path = paths.metrics(name)
    measured = read_json(path) if path.exists() else {}
    known = measured.get(WEIGHTS)
    return measured if known is not None and known == weights_sha256(name, paths) else {}


def has_samples(name: str, paths: Paths) -> bool:
    """Tell whether the run's samples and fitted priors are of the model that is there."""
    path = paths.drawn_from(name)
    known = read_json(path).get(WEIGHTS) if path.exists() else None
    return known is not None and known == weights_sha256(name, paths)


def require_samples(name: str, paths: Paths) -> None:
    """Raise UserError unless `has_samples`."""
    if not has_samples(name, paths):
        raise UserError(
            f"{paths.samples(name)} is not of the model in {paths.model(name)}: "
            f"`dvc repro sample@{name}` draws from it"
        )


def require_measured(name: str, paths: Paths) -> dict[str, Any]:
    """Return what was measured of the model that is there; UserError if nothing was."""
    measured = load_measured(name, paths)
    if not measured:
        raise UserError(
            f"{paths.metrics(name)} is not of the model in {paths.model(name)}: "
            f"`dvc repro evaluate@{name}` measures it"
        )
    return measured


def load_timing(record: RunRecord) -> dict[str, Any]:
    """Read what .checkpoints/ has of a training's times; nothing if it was trained elsewhere."""
    try:
        return read_json(record.paths.checkpoint_dir(record.fingerprint) / "timing.json")
    except UserError:
        return {}
