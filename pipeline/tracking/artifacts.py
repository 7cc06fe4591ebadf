"""What of a run's files goes to its MLflow run: metrics, verdict, model, pictures, curves."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import UserError
from pipeline.storage import dvc_lock
from pipeline.config.schema import RunConfig
from pipeline.config.paths import Paths
from pipeline.data.images import make_grid, read_grid
from pipeline.storage.reading import read_csv, read_json
from pipeline.config.run_record import RunRecord, load_timing
from pipeline.tracking.client import log_metrics, logged_epochs, get_or_create_run, warn_unavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The key under which the UI's image grid steps through a training.
EVOLUTION = "evolution"


def load_run_record(name: str, experiment: str, paths: Paths) -> RunRecord:
    """The identity that a trained model's folder carries; UserError if there is no whole one."""
    path = paths.model(name) / "model.json"
    about = read_json(path)
    try:
        run = RunConfig.model_validate(about["run"])
        return RunRecord(run, about["fingerprint"], about["dataset_sha256"], experiment, paths)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} cannot be used: it describes no run; run `dvc repro` to make it again") from None


def log_evaluation(record: RunRecord) -> None:
    """Mirror an evaluated run; an outage of the tracker is said and stops nothing."""
    try:
        client, run_id = get_or_create_run(record, reopen=False)
        log_artifacts(client, run_id, record, dvc_lock.entries(record.paths.dvc_lock), overwrite=True)
    # Whatever the tracker throws must not fail a stage whose files are whole.
    except Exception as error:
        warn_unavailable(error)


def log_artifacts(client: "MlflowClient", run_id: str, record: RunRecord, locked: dvc_lock.Entries, overwrite: bool) -> int:
    """Log what the run's files say and the store lacks, or with `renew` all artifacts; returns how much was added.

    `locked` has the entries of dvc.lock, the run's own among them.
    """
    paths, name = record.paths, record.run.name
    history = read_csv(paths.model(name) / "history.csv")
    added = _log_history(client, run_id, record, history)
    if paths.metrics(name).exists():
        results = read_json(paths.metrics(name)) | _times(record)
        added += _log_results(client, run_id, results, step=len(history))
    added += _log_snapshots(client, run_id, paths.model(name) / "evolution.png")
    added += _log_lock(client, run_id, dvc_lock.of_run(locked, name))
    with tempfile.TemporaryDirectory() as folder:
        curves = _curves(history, name, Path(folder) / "loss_curves.png")
        artifacts = {
            "model": sorted(paths.model(name).iterdir()),
            "pictures": [curves, *sorted(paths.samples(name).glob("*.png")), *existing(paths.neighbors(name))],
            "dimensions": existing(paths.dimensions(name)),
        }
        for place, files in artifacts.items():
            there = set() if overwrite else {Path(item.path).name for item in client.list_artifacts(run_id, place)}
            for file in files:
                if file.name not in there:
                    client.log_artifact(run_id, str(file), place)
                    added += 1
    return added


def existing(path: Path) -> list[Path]:
    return [path] if path.exists() else []


def _log_history(client: "MlflowClient", run_id: str, record: RunRecord, history: pd.DataFrame) -> int:
    """Every epoch that the store lacks; with its speed, where this machine trained it."""
    logged, speeds = logged_epochs(client, run_id), _images_per_second(record)
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


def _images_per_second(record: RunRecord) -> dict[int, float]:
    return dict(enumerate(load_timing(record).get("images_per_second", []), start=1))


def _times(record: RunRecord) -> dict[str, float]:
    """What the training took in all, where it is known."""
    taken = load_timing(record)
    keys = {"train_seconds": "epoch_seconds", "train_cpu_seconds": "epoch_cpu_seconds"}
    return {key: sum(taken[each]) for key, each in keys.items() if each in taken}


def _log_snapshots(client: "MlflowClient", run_id: str, path: Path) -> int:
    """Validation images above their reconstructions, for every epoch that the store lacks, under one key."""
    shown = [re.search(r"[+%]step[+%](\d+)[+%]", item.path) for item in client.list_artifacts(run_id, "images")]
    logged = {int(match[1]) for match in shown if match}
    originals, *epochs = read_grid(path)
    missing = [(step, row) for step, row in enumerate(epochs, start=1) if step not in logged]
    for step, row in missing:
        client.log_image(run_id, make_grid(np.stack([originals, row])), key=EVOLUTION, step=step)
    return len(missing)


def _log_lock(client: "MlflowClient", run_id: str, entries: dvc_lock.Entries) -> int:
    """The MD5 of each output as tags, and the entries of dvc.lock that bring them back."""
    hashes = {f"dvc_md5.{path}": md5 for entry in entries.values() for path, md5 in dvc_lock.outs(entry).items()}
    known = client.get_run(run_id).data.tags
    changed = {key: md5 for key, md5 in hashes.items() if known.get(key) != md5}
    if changed:
        client.log_text(run_id, dvc_lock.text(entries), "dvc.lock")
    for key, md5 in changed.items():
        client.set_tag(run_id, key, md5)
    return len(changed)


def _curves(history: pd.DataFrame, name: str, path: Path) -> Path:
    from pipeline.report.figures import loss_curves, png
    from pipeline.report.i18n import Translator

    path.write_bytes(png(loss_curves(history.assign(run=name), name, Translator("en")["axes"])))
    return path
