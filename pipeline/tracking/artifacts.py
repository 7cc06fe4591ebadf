"""What of a run's files goes to its MLflow run: metrics, verdict, model, pictures, curves."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.run_record import RunRecord, has_samples, load_measured, load_timing
from pipeline.data.images import make_grid, read_grid
from pipeline.report.image_sets import OF_BEST_PRIOR
from pipeline.storage import dvc_lock
from pipeline.storage.reading import read_csv
from pipeline.tracking.client import (
    get_or_create_run,
    log_metrics,
    logged_epochs,
    warn_unavailable,
)

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

# The key under which the UI's image grid steps through a training.
SNAPSHOTS = "snapshots"
LOCK = "dvc.lock"


def log_evaluation(record: RunRecord) -> None:
    """Mirror an evaluated run; an outage of the tracker is said and stops nothing."""
    try:
        client, run_id = get_or_create_run(record, reopen=False)
        locked = dvc_lock.entries(record.paths.dvc_lock)
        log_artifacts(client, run_id, record, locked, overwrite=True)
    # Whatever the tracker throws must not fail a stage whose files are whole.
    except Exception as error:
        warn_unavailable(error)


def log_artifacts(
    client: "MlflowClient",
    run_id: str,
    record: RunRecord,
    locked: dvc_lock.Entries,
    overwrite: bool,
) -> int:
    """Log what the run's files say and the store lacks, or with `overwrite` all artifacts.

    `locked` has the entries of dvc.lock, the run's own among them. Returns how much was added.
    """
    paths, name = record.paths, record.run.name
    history = read_csv(paths.model(name) / "history.csv")
    added = _log_history(client, run_id, record, history)
    # Of another training nothing may stand here.
    if measured := load_measured(name, paths):
        results = measured | _best_samples(measured) | _total_times(record)
        added += _log_results(client, run_id, results, step=len(history))
    snapshots = read_grid(paths.model(name) / "snapshots.png", record.run.data.image_size)
    added += _log_snapshots(client, run_id, snapshots)
    added += log_lock(client, run_id, dvc_lock.of_run(locked, name))
    with tempfile.TemporaryDirectory() as folder:
        curves = _draw_curves(history, name, Path(folder) / "loss_curves.png")
        drawn = sorted(paths.samples(name).glob("*.png")) if has_samples(name, paths) else []
        artifacts = {"model": sorted(paths.model(name).iterdir()), "pictures": [curves, *drawn]}
        if measured:
            artifacts["pictures"] += _existing(paths.nearest_neighbors(name))
            artifacts["latent_stats"] = _existing(paths.latent_stats(name))
        for place, files in artifacts.items():
            added += _log_files(client, run_id, place, files, overwrite)
    return added


def _log_files(
    client: "MlflowClient", run_id: str, place: str, files: list[Path], overwrite: bool
) -> int:
    """Log files that `place` lacks, or all; returns how many."""
    there = set()
    if not overwrite:
        there = {Path(item.path).name for item in client.list_artifacts(run_id, place)}
    missing = [file for file in files if file.name not in there]
    for file in missing:
        client.log_artifact(run_id, str(file), place)
    return len(missing)


def _existing(path: Path) -> list[Path]:
    return [path] if path.exists() else []


def _log_history(
    client: "MlflowClient", run_id: str, record: RunRecord, history: "pd.DataFrame"
) -> int:
    """Log every epoch that the store lacks; with its speed, where this machine trained it."""
    logged = logged_epochs(client, run_id)
    speeds = dict(enumerate(load_timing(record).get("images_per_second", []), start=1))
    missing = [row for row in history.to_dict("records") if row["epoch"] not in logged]
    for row in missing:
        epoch = int(row["epoch"])
        speed = {"images_per_second": speeds[epoch]} if epoch in speeds else {}
        log_metrics(client, run_id, row | speed, step=epoch)
    return len(missing)


def _log_results(client: "MlflowClient", run_id: str, results: dict[str, Any], step: int) -> int:
    """Log test metrics as metrics and the verdict as tags, where the store has other values."""
    known = client.get_run(run_id).data
    texts = {key: value for key, value in results.items() if isinstance(value, str)}
    numbers = {key: value for key, value in results.items() if key not in texts}
    texts = {key: text for key, text in texts.items() if known.tags.get(key) != text}
    numbers = {key: number for key, number in numbers.items() if known.metrics.get(key) != number}
    if numbers:
        log_metrics(client, run_id, numbers, step)
    for key, text in texts.items():
        client.set_tag(run_id, key, text)
    return len(numbers) + len(texts)


def _best_samples(results: dict[str, Any]) -> dict[str, float]:
    """Return what the samples of the best prior score, under the keys that the report has."""
    of_prior = {
        f"{measure}_samples": f"{measure}_samples_{results.get('best_prior')}"
        for measure in OF_BEST_PRIOR
    }
    return {key: results[scored] for key, scored in of_prior.items() if scored in results}


def _total_times(record: RunRecord) -> dict[str, float]:
    """Return what the training took in all, where it is known."""
    timing = load_timing(record)
    keys = {"train_seconds": "epoch_seconds", "train_cpu_seconds": "epoch_cpu_seconds"}
    return {key: sum(timing[each]) for key, each in keys.items() if each in timing}


def _log_snapshots(client: "MlflowClient", run_id: str, rows: np.ndarray) -> int:
    """Log validation images above their reconstructions, for every epoch that the store lacks.

    `rows` uint8 [1 + epochs, N, C, H, W] are the images, then what each epoch made of them.
    """
    items = client.list_artifacts(run_id, "images")
    steps = [re.search(r"[+%]step[+%](\d+)[+%]", item.path) for item in items]
    logged = {int(step[1]) for step in steps if step}
    originals, *epochs = rows
    missing = [(step, row) for step, row in enumerate(epochs, start=1) if step not in logged]
    for step, row in missing:
        picture = make_grid(np.stack([originals, row]))
        client.log_image(run_id, picture, key=SNAPSHOTS, step=step)
    return len(missing)


def log_lock(client: "MlflowClient", run_id: str, entries: dvc_lock.Entries) -> int:
    """Log each output's MD5 as a tag, and the entries of dvc.lock that bring them back."""
    known = client.get_run(run_id).data.tags
    changed = {}
    for entry in entries.values():
        for path, md5 in dvc_lock.outs(entry).items():
            if known.get(f"dvc_md5.{path}") != md5:
                changed[f"dvc_md5.{path}"] = md5
    # Tags lie in the database, and may outlive the artifacts.
    there = {item.path for item in client.list_artifacts(run_id)}
    if changed or (entries and LOCK not in there):
        client.log_text(run_id, dvc_lock.text(entries), LOCK)
    for key, md5 in changed.items():
        client.set_tag(run_id, key, md5)
    return len(changed)


def _draw_curves(history: "pd.DataFrame", name: str, path: Path) -> Path:
    from pipeline.report.charts import training_curves

    path.write_bytes(training_curves(history.assign(run=name), name))
    return path
