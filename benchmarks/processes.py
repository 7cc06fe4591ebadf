"""What the bench starts: loops, stages and whole studies, each in processes of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.config.grid import deep_merge
from pipeline.config.loader import load_config
from pipeline.stages.__main__ import RUN_STAGES, SIZE_STAGES
from pipeline.storage.yaml_io import dump_yaml, read_yaml

ROOT = Path(__file__).resolve().parent.parent
NUM_IMAGES = 6_400
ROUNDS = 3
STAGE = (sys.executable, "-m", "pipeline.stages")


def started(
    command: list[str], device: str = "cpu", environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in the project's folder, to work on this device."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"VAE_DEVICE": device} | (environment or {}),
    )


def start(
    name: str,
    count: int,
    device: str = "cpu",
    tracker: str | None = None,
    **changes: object,
) -> subprocess.Popen[str]:
    """Start a loop of benchmarks/loops.py; `tracker` is where it is mirrored to."""
    words = [f"{key}={str(value).lower()}" for key, value in changes.items()]
    environment = {"MLFLOW_TRACKING_URI": tracker} if tracker else None
    command = [sys.executable, "-m", "benchmarks.loops", name, str(count), *words]
    return started(command, device, environment)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a loop and read what it printed. Raises RuntimeError if it failed."""
    out, error = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} failed: {error[-500:]}")
    return dict(json.loads(out.splitlines()[-1]))


def loop(
    name: str, count: int = NUM_IMAGES, device: str = "cpu", **changes: object
) -> dict[str, Any]:
    """Run a loop alone on the machine."""
    return result(start(name, count, device, **changes))


def speed(name: str, **changes: object) -> float:
    """Return the images per second of a loop that is alone on the machine's processor."""
    return median(loop(name, **changes)["speeds"])


def seconds(command: list[str], folder: Path = ROOT, device: str = "cpu") -> float:
    """Time a command. Raises RuntimeError with its last words if it failed."""
    begun = time.perf_counter()
    environment = os.environ | {"VAE_DEVICE": device}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {(done.stderr or done.stdout)[-500:]}")
    return time.perf_counter() - begun


def plain_study(folder: Path, changes: dict[str, Any]) -> None:
    """Lay the code and params.yaml with `changes` into a folder, without DVC."""
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    shutil.copyfile(ROOT / "dvc.yaml", folder / "dvc.yaml")
    document = deep_merge(read_yaml(ROOT / "params.yaml"), changes)
    (folder / "params.yaml").write_text(dump_yaml(document))


def run_stages(folder: Path, device: str = "cpu", report: bool = True) -> dict[str, float]:
    """Run every stage of the study in a folder, one after another; return the seconds of each."""
    config = load_config(folder / "params.yaml")
    steps = [["fetch"], ["baselines"]]
    steps += [[stage, str(size)] for size in config.grid.latent_dims for stage in SIZE_STAGES]
    steps += [[stage, run.name] for run in config.runs for stage in RUN_STAGES]
    steps += [["report"]] if report else []
    return {"@".join(step): seconds([*STAGE, *step], folder, device) for step in steps}
