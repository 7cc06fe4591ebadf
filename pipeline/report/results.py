"""A whole study as the report needs it: gathered from every listed run's files, kept in reports/, read back."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline import UserError
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.schema import Config, deep_merge
from pipeline.config.system_info import package_versions, system_summary
from pipeline.data.images import grid_png, read_grid
from pipeline.evaluation.samples import PRIORS
from pipeline.report.tables import UNITS
from pipeline.storage import atomic
from pipeline.storage.reading import read_csv, read_json
from pipeline.storage.yaml_io import dump_yaml

PUBLISHED = Path(__file__).parent / "published.csv"
# Pictures of each run, rows of `report.columns` images; `evolution` has the epochs of `snapshot_epochs`.
SAMPLED = (
    "originals",
    "reconstructions",
    "interpolations",
    *(f"samples_{prior}" for prior in PRIORS),
)
PICTURES = (*SAMPLED, "neighbours", "evolution")


class StudyResults(NamedTuple):
    """Everything the report shows, in the order of params.yaml.

    `summary` has a row for each run, indexed by its name: the columns of summary.csv and everything else that was
    measured; `history` its epochs; `dimensions` the KL of each latent dimension; `pictures` uint8 [rows, N, C, H, W];
    `made_with` the machine and the versions that made the report.
    """

    params: Config
    summary: pd.DataFrame
    history: pd.DataFrame
    dimensions: pd.DataFrame
    baselines: dict[str, Any]
    published: pd.DataFrame
    pictures: dict[str, dict[str, np.ndarray]]
    made_with: dict[str, str]


def collect_results(params: Config, paths: Paths, run_ids: dict[str, str]) -> StudyResults:
    """From the runs' own files; nothing is globbed, so what params.yaml dropped is not seen.

    `run_ids` are MLflow's by fingerprint. UserError names the first file that is missing or damaged.
    """
    rows, histories, dimensions, pictures = [], [], [], {}
    for run in params.runs:
        cell = {
            "run": run.name,
            "variant": run.variant,
            "latent_dim": run.latent_dim,
            "seed": run.seed,
        }
        fingerprint = read_json(paths.model(run.name) / "model.json")["fingerprint"]
        times = training_times(paths.checkpoint_dir(fingerprint) / "timing.json")
        known = {"fingerprint": fingerprint, "mlflow_run_id": run_ids.get(fingerprint, "unknown")}
        rows.append(cell | known | read_json(paths.metrics(run.name)) | times)
        histories.append(read_csv(paths.model(run.name) / "history.csv").assign(**cell))
        dimensions.append(read_csv(paths.dimensions(run.name)).assign(run=run.name))
        files = {kind: paths.samples(run.name) / f"{kind}.png" for kind in SAMPLED}
        files |= {
            "neighbours": paths.neighbors(run.name),
            "evolution": paths.model(run.name) / "evolution.png",
        }
        shown = {kind: read_grid(path)[:, : params.report.columns] for kind, path in files.items()}
        shown["evolution"] = shown["evolution"][[0, *snapshot_epochs(len(histories[-1]))]]
        pictures[run.name] = shown
    return StudyResults(
        params,
        pd.DataFrame(rows).set_index("run", drop=False),
        pd.concat(histories, ignore_index=True),
        pd.concat(dimensions, ignore_index=True),
        read_json(paths.baselines / "baselines.json"),
        read_csv(PUBLISHED),
        pictures,
        {"machine": system_summary(), **package_versions()},
    )


def training_times(timing: Path) -> dict[str, float]:
    """What training took where it was done; nothing where only its files came from elsewhere."""
    try:
        taken = read_json(timing)
        return {
            "train_seconds": float(sum(taken["epoch_seconds"])),
            "images_per_second": float(np.mean(taken["images_per_second"])),
        }
    except (UserError, KeyError):
        return {"train_seconds": float("nan"), "images_per_second": float("nan")}


def snapshot_epochs(epochs: int) -> list[int]:
    """1, 2, 4, 8, ... and the last."""
    return sorted({2**power for power in range(epochs.bit_length())} | {epochs})


def save_results(study: StudyResults, reports: Path) -> None:
    """Write the study into reports/: summary.csv, and study/ with the rest."""
    columns = [*UNITS, *(column for column in study.summary.columns if column not in UNITS)]
    atomic.write_text(
        reports / "summary.csv", study.summary.reindex(columns=columns).to_csv(index=False)
    )
    with atomic.folder(reports / "study") as folder:
        atomic.write_text(folder / "history.csv", study.history.to_csv(index=False))
        atomic.write_text(folder / "dimensions.csv", study.dimensions.to_csv(index=False))
        atomic.write_json(folder / "baselines.json", study.baselines)
        atomic.write_json(folder / "made_with.json", study.made_with)
        # Where verified images were read from is the machine's own.
        document = deep_merge(study.params.model_dump(), {"data": {"source": None}})
        atomic.write_text(folder / "params.yaml", dump_yaml(document))
        for run, shown in study.pictures.items():
            (folder / run).mkdir()
            for kind, rows in shown.items():
                atomic.write_bytes(folder / run / f"{kind}.png", grid_png(rows))


def load_results(reports: Path) -> StudyResults:
    """What `keep` wrote. UserError names the first file that is missing or damaged."""
    folder = reports / "study"
    summary = read_csv(reports / "summary.csv").set_index("run", drop=False)
    return StudyResults(
        load_config(folder / "params.yaml"),
        summary,
        read_csv(folder / "history.csv"),
        read_csv(folder / "dimensions.csv"),
        read_json(folder / "baselines.json"),
        read_csv(PUBLISHED),
        {
            run: {kind: read_grid(folder / run / f"{kind}.png") for kind in PICTURES}
            for run in summary.index
        },
        read_json(folder / "made_with.json"),
    )
