"""A run that MLflow can describe, made by hand in milliseconds, for tests of the store."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.run_record import RunRecord
from pipeline.tracking.store import get_client

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = "test"


@functools.cache
def empty_database() -> Path:
    """MLflow needs seconds for a new database: one is made, and copied. No store must be set."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    get_client(Paths(Path(folder)))
    return Path(folder) / "mlflow.db"


def make_record(config: Config, root: Path, experiment: str = EXPERIMENT) -> RunRecord:
    """A workspace with a store, params.yaml and a trained run's folder, without its weights."""
    shutil.copy(empty_database(), root)
    shutil.copy(ROOT / "params.yaml", root)
    record = RunRecord(config.runs[0], "f" * 32, "d" * 64, experiment, Paths(root))
    metadata = {
        "config": {"image_shape": [3, 32, 32]},
        "fingerprint": record.fingerprint,
        "dataset_sha256": record.dataset_sha256,
        "run": record.run.to_dict(),
    }
    folder = record.paths.model(record.run.name)
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(metadata))
    return record
