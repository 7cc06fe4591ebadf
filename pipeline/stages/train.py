"""Train one run: data/ -> models/<run>/."""

import pandas as pd
import torch

from pipeline.config.grid import Config, RunConfig
from pipeline.config.paths import Paths
from pipeline.data.images import grid_png
from pipeline.storage import atomic
from pipeline.storage.locks import run_lock
from pipeline.training.checkpoint import delete_checkpoints
from pipeline.training.trainer import NUM_SNAPSHOT_IMAGES
from pipeline.workflow.train_run import PreparedRun, run_non_zero_rank, setup, train_and_show


def main(run: RunConfig, config: Config, paths: Paths) -> None:
    prepared = setup(run, config, paths)
    if prepared.state.dist.rank > 0:
        run_non_zero_rank(prepared)
        return
    fingerprint = prepared.record.fingerprint
    with run_lock(paths.lock(fingerprint), run.name):
        train_and_show(prepared)
        write(prepared)
        delete_checkpoints(paths.checkpoint_dir(fingerprint))


def write(prepared: PreparedRun) -> None:
    """Write the model folder: weights, config, history and snapshots; no times, no ids."""
    record, state, data = prepared
    metadata = {
        "fingerprint": record.fingerprint,
        "dataset_sha256": record.dataset_sha256,
        "run": record.run.to_dict(),
    }
    with atomic.folder(record.paths.model(record.run.name)) as folder:
        state.model.save_pretrained(folder, metadata)
        history = pd.DataFrame(state.history).to_csv(index=False)
        atomic.write_text(folder / "history.csv", history)
        # A row of images as they are, then one for each epoch.
        rows = [data.val_images[:NUM_SNAPSHOT_IMAGES].cpu(), *state.snapshots]
        atomic.write_bytes(folder / "snapshots.png", grid_png(torch.stack(rows).numpy()))
