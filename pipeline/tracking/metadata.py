"""What describes a run in MLflow: its origin, its parameters as they took effect, its data."""

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import UserError
from pipeline.config.grid import flatten_dict
from pipeline.config.loader import load_config
from pipeline.config.run_record import RunRecord, load_timing
from pipeline.config.sources import code_md5
from pipeline.config.system_info import package_versions, system_summary
from pipeline.storage import dvc_lock
from pipeline.tracking.saved_changes import SavedCode, capture_code, load_code

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The tag that is set when everything else of the description is there.
DESCRIPTION = "description"
COMPLETE = "complete"
NO_CODE = "complete but for the code"
MAX_TAG = 5000
logger = logging.getLogger(__name__)


def run_tags(record: RunRecord, trained_here: bool) -> dict[str, str]:
    """Return origin and machine; of a training that is over, the machine that it ran on."""
    name = os.environ.get("DVC_EXP_NAME")
    tags = {
        "fingerprint": record.fingerprint,
        "dvc_stage": f"train@{record.run.name}",
        "dataset_sha256": record.dataset_sha256,
        "study": name or "workspace",
        "mlflow.source.name": "dvc repro",
    }
    if name:
        tags["dvc_exp_name"] = name
    made_on: dict[str, Any] = load_timing(record)
    if trained_here:
        made_on = {"machine": system_summary(), "versions": package_versions()}
    if "machine" in made_on:
        tags["machine"] = made_on["machine"]
        tags |= {f"version.{name}": number for name, number in made_on["versions"].items()}
    return tags


def log_description(
    client: "MlflowClient", run_id: str, record: RunRecord, trained_here: bool
) -> None:
    """Log the parameters, the code and the dataset, as far as they are not there yet."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    run = record.run
    effective = run.to_dict()
    known = client.get_run(run_id)
    params = {key: str(value) for key, value in flatten_dict(effective).items()}
    missing = [Param(key, value) for key, value in params.items() if key not in known.data.params]
    client.log_batch(run_id, params=missing)
    client.log_dict(run_id, effective, "effective_params.yaml")
    if not (known.inputs and known.inputs.dataset_inputs):
        # The store keeps 36 characters of a digest; the whole SHA-256 is a tag.
        name = run.data.dataset
        source = f'{{"uri": "data/{name}"}}'
        dataset = Dataset(name, record.dataset_sha256[:36], "local", source)
        context = InputTag("mlflow.data.context", "training")
        client.log_inputs(run_id, datasets=[DatasetInput(dataset, [context])])
    code = trained_code(record, trained_here)
    if code is not None:
        _log_code(client, run_id, code)
    elif known.data.tags.get(DESCRIPTION) != NO_CODE:
        logger.warning(
            "%s was trained elsewhere or with code that is not here any more: its MLflow run "
            "cannot say which, and `restore` will refuse it",
            run.name,
        )
    client.set_tag(run_id, DESCRIPTION, COMPLETE if code is not None else NO_CODE)


def trained_code(record: RunRecord, trained_here: bool) -> SavedCode | None:
    """Return code and params.yaml that the run was trained with, as far as they can be known.

    They lie beside the run's checkpoints. Without them, today's are the run's if the run is trained
    now, or if dvc.lock says that today's modules made its files.
    """
    if kept := load_code(record.paths.code_record(record.fingerprint)):
        return kept
    if trained_here or _is_todays(record):
        return capture_code(record.paths)
    return None


def _is_todays(record: RunRecord) -> bool:
    """Tell whether today's modules and params.yaml are those of the run."""
    entry = dvc_lock.entries(record.paths.dvc_lock).get(f"train@{record.run.name}", {})
    made_of = {
        path: md5 for path, md5 in dvc_lock.deps(entry).items() if path.startswith("pipeline/")
    }
    project = record.paths.project
    if not made_of or any(code_md5(project / path) != made_of[path] for path in made_of):
        return False
    try:
        listed = load_config(record.paths.params).run(record.run.name)
    except UserError:
        return False
    # Which precision `auto` means depends on the machine.
    same_precision = {"precision": record.run.train.precision}
    train = listed.train.model_copy(update=same_precision)
    return listed.model_copy(update={"train": train}) == record.run


def _log_code(client: "MlflowClient", run_id: str, code: SavedCode) -> None:
    """Log commit and changes: the patch in its own bytes, whatever encodings are in it."""
    digest = hashlib.sha256(json.dumps(code.sources, sort_keys=True).encode()).hexdigest()
    tags = {
        "git_commit": code.commit,
        "git_dirty": str(code.is_dirty).lower(),
        "mlflow.source.git.commit": code.commit,
        "sources_sha256": digest,
    }
    if code.left_out:
        listed = "; ".join(f"{name}: {why}" for name, why in code.left_out.items())
        # A file's name may be no UTF-8, and a store's tags hold a few thousand characters.
        tags["code_left_out"] = listed.encode(errors="backslashreplace").decode()[:MAX_TAG]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in code.files().items():
            path = Path(folder) / name
            path.write_bytes(content)
            client.log_artifact(run_id, str(path))
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
