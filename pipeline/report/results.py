"""A whole study as the report needs it: collected from its runs, kept in reports/, read back."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.config.grid import Config, RunConfig, deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.run_record import (
    RunRecord,
    load_run_record,
    load_timing,
    require_measured,
    require_samples,
)
from pipeline.config.system_info import package_versions, system_summary
from pipeline.data.images import grid_png, read_grid
from pipeline.report.image_sets import PRIORS
from pipeline.report.metrics import summary_columns
from pipeline.report.parts import EXPLORER
from pipeline.storage import atomic
from pipeline.storage.reading import read_csv, read_json
from pipeline.storage.yaml_io import dump_yaml

PUBLISHED = Path(__file__).parent / "published.csv"
# Pictures of each run, rows of `report.num_images` images.
SAMPLED = (
    "originals",
    "reconstructions",
    "interpolations",
    *(f"samples_{prior}" for prior in PRIORS),
)
PICTURES = (*SAMPLED, "nearest_neighbors", "snapshots")


class StudyResults(NamedTuple):
    """Everything the report shows, in the order of params.yaml."""

    params: Config
    summary: pd.DataFrame
    """A row for each run, indexed by its name: what summary.csv holds."""
    history: pd.DataFrame
    """A row for each epoch of each run."""
    latent_stats: pd.DataFrame
    """A row for each latent dimension of each run."""
    baselines: dict[str, Any]
    published: pd.DataFrame
    """The source report's losses."""
    pictures: dict[str, dict[str, np.ndarray]]
    """Of each run and kind, uint8 [rows, N, C, H, W]; snapshots are of `snapshot_epochs`."""
    made_with: dict[str, str]
    """The machine and the versions that made the report."""
    has_explorer: bool
    """Whether explorer.html lies beside the pages."""


def collect_results(params: Config, paths: Paths, run_ids: dict[str, str]) -> StudyResults:
    """Collect from the listed runs' files; what params.yaml dropped is not seen.

    `run_ids` are MLflow's by fingerprint. Raises UserError naming the first file that is missing
    or damaged.
    """
    rows = []
    histories = []
    latent_stats = []
    pictures = {}
    for run in params.runs:
        record = load_run_record(run.name, params.tracking.experiment, paths)
        cell = {"variant": run.variant, "latent_dim": run.latent_dim, "seed": run.seed}
        history = read_csv(paths.model(run.name) / "history.csv")
        rows.append(_summary_row(record, cell, run_ids))
        histories.append(history.assign(run=run.name, **cell))
        latent_stats.append(read_csv(paths.latent_stats(run.name)).assign(run=run.name))
        pictures[run.name] = _pictures(run, paths, params.report.num_images, len(history))
    return StudyResults(
        params,
        pd.DataFrame(rows).set_index("run", drop=False),
        pd.concat(histories, ignore_index=True),
        pd.concat(latent_stats, ignore_index=True),
        read_json(paths.baselines / "baselines.json") | rivals_by_size(params, paths),
        read_csv(PUBLISHED),
        pictures,
        {"machine": system_summary(), **package_versions()},
        has_explorer=True,
    )


def rivals_by_size(params: Config, paths: Paths) -> dict[str, dict[str, float]]:
    """Read what PCA of each size makes of images: {"fd_pca": {"64": 600.0, ...}, ...}."""
    values: dict[str, dict[str, float]] = {}
    for size in params.grid.latent_dims:
        metrics = read_json(paths.rivals(size))
        del metrics["latent_dim"]
        for key, value in metrics.items():
            values.setdefault(key, {})[str(size)] = value
    return values


def save_results(study: StudyResults, reports: Path) -> None:
    """Write the study into reports/: summary.csv, and results/ with the rest."""
    first = summary_columns()
    rest = [column for column in study.summary.columns if column not in first]
    table = study.summary.reindex(columns=[*first, *rest])
    atomic.write_text(reports / "summary.csv", table.to_csv(index=False))
    with atomic.folder(reports / "results") as folder:
        atomic.write_text(folder / "history.csv", study.history.to_csv(index=False))
        atomic.write_text(folder / "latent_stats.csv", study.latent_stats.to_csv(index=False))
        atomic.write_json(folder / "baselines.json", study.baselines)
        atomic.write_json(folder / "made_with.json", study.made_with)
        # Where verified images were read from is the machine's own.
        document = deep_merge(study.params.model_dump(), {"download": {"source": None}})
        atomic.write_text(folder / "params.yaml", dump_yaml(document))
        for run, shown in study.pictures.items():
            (folder / run).mkdir()
            for kind, rows in shown.items():
                atomic.write_bytes(folder / run / f"{kind}.png", grid_png(rows))


def load_results(reports: Path) -> StudyResults:
    """Read what `save_results` wrote.

    Raises UserError naming the first file that is missing or damaged.
    """
    folder = reports / "results"
    summary = read_csv(reports / "summary.csv").set_index("run", drop=False)
    params = load_config(folder / "params.yaml")
    side = params.data.image_size
    return StudyResults(
        params,
        summary,
        read_csv(folder / "history.csv"),
        read_csv(folder / "latent_stats.csv"),
        read_json(folder / "baselines.json"),
        read_csv(PUBLISHED),
        {
            run: {kind: read_grid(folder / run / f"{kind}.png", side) for kind in PICTURES}
            for run in summary.index
        },
        read_json(folder / "made_with.json"),
        (reports / EXPLORER).exists(),
    )


def snapshot_epochs(epochs: int) -> list[int]:
    """Return 1, 2, 4, 8, ... and the last."""
    return sorted({2**power for power in range(epochs.bit_length())} | {epochs})


def _summary_row(
    record: RunRecord, cell: dict[str, Any], run_ids: dict[str, str]
) -> dict[str, Any]:
    """Return a run's row: what it is, what was measured of it, what it took."""
    identity = {
        "run": record.run.name,
        "fingerprint": record.fingerprint,
        "mlflow_run_id": run_ids.get(record.fingerprint, "unknown"),
    }
    metrics = require_measured(record.run.name, record.paths)
    if "psnr_db_of_mean" in metrics:
        metrics["psnr_gap_db"] = metrics["psnr_db_of_mean"] - metrics["psnr_db"]
    return cell | identity | metrics | _training_times(record)


def _training_times(record: RunRecord) -> dict[str, float]:
    """Return what training took where it was done; NaN where only its files came from elsewhere."""
    timing = load_timing(record)
    try:
        return {
            "train_seconds": float(sum(timing["epoch_seconds"])),
            "images_per_second": float(np.mean(timing["images_per_second"])),
        }
    except KeyError:
        return {"train_seconds": float("nan"), "images_per_second": float("nan")}


def _pictures(run: RunConfig, paths: Paths, num_images: int, epochs: int) -> dict[str, np.ndarray]:
    """Read a run's pictures, at most `num_images` a row, and of its snapshots those shown."""
    require_samples(run.name, paths)
    files = {kind: paths.samples(run.name) / f"{kind}.png" for kind in SAMPLED}
    files["nearest_neighbors"] = paths.nearest_neighbors(run.name)
    files["snapshots"] = paths.model(run.name) / "snapshots.png"
    side = run.data.image_size
    pictures = {kind: read_grid(path, side)[:, :num_images] for kind, path in files.items()}
    # The first row is the images themselves, then one for each epoch.
    pictures["snapshots"] = pictures["snapshots"][[0, *snapshot_epochs(epochs)]]
    return pictures
