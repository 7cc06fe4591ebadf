"""The identity of a training run: a hash of everything that determines its bytes."""

import hashlib
import json
import platform
from pathlib import Path

from pipeline.config.grid import RunConfig
from pipeline.config.sources import source_hashes
from pipeline.training.device import get_device, resolve_precision


def run_fingerprint(run: RunConfig, dataset_sha256: str) -> str:
    """Return the identity that training `run` here and now would have."""
    import torch

    resolved = resolve_run_precision(run)
    return fingerprint(resolved, dataset_sha256, get_device().type, torch.__version__)


def fingerprint(run: RunConfig, dataset_sha256: str, device: str, torch_version: str) -> str:
    """Return 32 hexadecimal digits.

    Equal fingerprints on one machine mean equal weights, byte for byte.
    """
    determined_by = {
        "run": run.to_dict(),
        "dataset": dataset_sha256,
        "sources": source_hashes(Path(__file__).parent.parent),
        "torch": torch_version,
        "python": platform.python_version(),
        "device": device,
    }
    return hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:32]


def resolve_run_precision(run: RunConfig) -> RunConfig:
    """Return the run with the precision that "auto" means here."""
    precision = resolve_precision(run.train.precision, get_device())
    train = run.train.model_copy(update={"precision": precision})
    return run.model_copy(update={"train": train})
