"""What of a run's files goes to its MLflow run: metrics, verdict, model, pictures, curves."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline import StudyError
from pipeline.params import Run
from pipeline.paths import Paths
from pipeline.reading import read_csv, read_json
from pipeline.tracking.store import Identity, log_metrics, logged_epochs, open_run, say_outage

if TYPE_CHECKING:
    from mlflow import MlflowClient


def identity_of(name: str, experiment: str, paths: Paths) -> Identity:
    """The identity that a trained model's folder carries; StudyError if there is no whole one."""
    path = paths.model(name) / "model.json"
    about = read_json(path)
    try:
        run = Run.model_validate(about["run"])
        return Identity(run, about["fingerprint"], about["dataset_sha256"], experiment, paths)
    except (ValueError, KeyError, TypeError):
        raise StudyError(f"{path} cannot be used: it describes no run; run `dvc repro` to make it again") from None


def log_evaluation(identity: Identity) -> None:
    """Mirror an evaluated run; an outage of the tracker is said and stops nothing."""
    try:
        client, run_id = open_run(identity, reopen=False)
        log_files(client, run_id, identity, renew=True)
    # Whatever the tracker throws must not fail a stage whose files are whole.
    except Exception as error:
        say_outage(error)


def log_files(client: "MlflowClient", run_id: str, identity: Identity, renew: bool) -> int:
    """Log what the run's files say and the store lacks, or with `renew` all artifacts; returns how much was added."""
    paths, name = identity.paths, identity.run.name
    history = read_csv(paths.model(name) / "history.csv")
    added = _log_history(client, run_id, identity, history)
    if paths.metrics(name).exists():
        added += _log_results(client, run_id, read_json(paths.metrics(name)), step=len(history))
    with tempfile.TemporaryDirectory() as folder:
        curves = _curves(history, name, Path(folder) / "loss_curves.png")
        artifacts = {
            "model": sorted(paths.model(name).iterdir()),
            "pictures": [curves, *sorted(paths.samples(name).glob("*.png")), *existing(paths.neighbours(name))],
            "dimensions": existing(paths.dimensions(name)),
        }
        for place, files in artifacts.items():
            there = set() if renew else {Path(item.path).name for item in client.list_artifacts(run_id, place)}
            for file in files:
                if file.name not in there:
                    client.log_artifact(run_id, str(file), place)
                    added += 1
    return added


def existing(path: Path) -> list[Path]:
    return [path] if path.exists() else []


def _log_history(client: "MlflowClient", run_id: str, identity: Identity, history: pd.DataFrame) -> int:
    """Every epoch that the store lacks; with its speed, where this machine trained it."""
    logged, speeds = logged_epochs(client, run_id), _images_per_second(identity)
    missing = [row for row in history.to_dict("records") if row["epoch"] not in logged]
    for row in missing:
        speed = speeds.get(int(row["epoch"]))
        log_metrics(client, run_id, row | ({"images_per_second": speed} if speed else {}), step=int(row["epoch"]))
    return len(missing)


def _log_results(client: "MlflowClient", run_id: str, results: dict[str, Any], step: int) -> int:
    """Test metrics as metrics and the verdict as tags, where the store has other values."""
    data = client.get_run(run_id).data
    numbers = {k: v for k, v in results.items() if not isinstance(v, str) and data.metrics.get(k) != v}
    texts = {k: v for k, v in results.items() if isinstance(v, str) and data.tags.get(k) != v}
    if numbers:
        log_metrics(client, run_id, numbers, step)
    for key, text in texts.items():
        client.set_tag(run_id, key, text)
    return len(numbers) + len(texts)


def _images_per_second(identity: Identity) -> dict[int, float]:
    try:
        timing = read_json(identity.paths.state(identity.fingerprint) / "timing.json")
        return {epoch: float(speed) for epoch, speed in enumerate(timing["images_per_second"], start=1)}
    except (StudyError, ValueError, KeyError, TypeError):
        return {}  # trained elsewhere


def _curves(history: pd.DataFrame, name: str, path: Path) -> Path:
    from pipeline.plots import loss_curves, png

    path.write_bytes(png(loss_curves(history.assign(run=name), name)))
    return path
