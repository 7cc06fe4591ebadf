"""The identity of a training run: a hash of everything that determines its bytes."""

import hashlib
import json
import platform
from pathlib import Path

from pipeline.config.schema import RunConfig

# The modules that decide the numbers. How a run is started, tracked or reported is not among them.
DETERMINING = (
    "data/loader.py",
    "model/blocks.py",
    "model/patches.py",
    "model/pca.py",
    "model/vae.py",
    "objective.py",
    "processes.py",
    "training.py",
)


def fingerprint(run: RunConfig, dataset_sha256: str, device: str, torch_version: str) -> str:
    """32 hexadecimal digits; equal fingerprints on one machine mean equal weights, byte for byte."""
    package = Path(__file__).parent
    determined_by = {
        "run": run.to_dict(),
        "dataset": dataset_sha256,
        "sources": {name: hashlib.sha256((package / name).read_bytes()).hexdigest() for name in DETERMINING},
        "torch": torch_version,
        "python": platform.python_version(),
        "device": device,
    }
    return hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:32]
