"""Kill the pipeline at random instants and see that nothing is lost: `make test-stress`.

A small study is run once undisturbed. Then, again and again, one stage or the whole pipeline is
started by `dvc repro` without a run cache to hide behind, killed at a random instant in a random
way, and `dvc repro` has to complete it: every output must have the bytes of the undisturbed run.
At the end MLflow, after `sync`, must have one finished run for each training, with every epoch
once.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
from conftest import DVC_CONFIG, ROOT, SMALL, clean_environment, outputs, write_mnist

from pipeline.config.grid import deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.storage import dvc_lock
from pipeline.storage.reading import read_json
from pipeline.tracking.client import STEP_METRIC, get_client, search_training_runs
from pipeline.tracking.sync import sync
from pipeline.workflow.runner import repair
from pipeline.workflow.workspace import create_workspace

# Long enough for kills to land inside the epochs, not only in the imports.
EPOCHS = {"train": {"epochs": 100}, "variants": {"original": {"train": {"epochs": 100}}}}
EPOCHS_TAKE = 7.0  # seconds, about
DVC_STARTS = 2.0  # seconds, about, before a stage does
WAYS = ("SIGKILL everything", "SIGKILL the stage", "SIGTERM the stage", "SIGINT everything")


def new_study(root: Path) -> dict[str, float]:
    """Run a small study undisturbed; returns how long each stage takes, seconds."""
    write_mnist(root / "source")
    changes = deep_merge(deep_merge(SMALL, {"download": {"source": str(root / "source")}}), EPOCHS)
    study = root / "study"
    create_workspace(ROOT, study, changes, DVC_CONFIG)
    start = time.monotonic()
    repro(study)
    whole = time.monotonic() - start
    stages = re.findall(r"^([\w@-]+) ", dvc(study, "stage", "list").stdout, re.M)
    return {
        name: DVC_STARTS + read_json(Paths(study).duration(name))["seconds"] for name in stages
    } | {"": whole}


def dvc(study: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["dvc", *arguments],
        cwd=study,
        env=clean_environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def repro(study: Path, *arguments: str) -> str:
    """`dvc repro` after what `make repro` does first."""
    repair(Paths(study))
    done = dvc(study, "repro", *arguments)
    if done.returncode:
        raise AssertionError(
            f"dvc repro {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def kill_once(study: Path, stage: str, instant: float, way: str, after_checkpoint: bool) -> bool:
    """Start `dvc repro` on a stage, or on all for "", and kill it; False if it was done before."""
    forget(study, stage)
    target = ["--single-item", stage] if stage else []
    process = subprocess.Popen(
        ["dvc", "repro", *target], cwd=study, env=clean_environment(), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip  # one line for the command, one for its streams
    while (
        after_checkpoint
        and process.poll() is None
        and not list((study / ".checkpoints").glob("*/epoch-*"))
    ):
        time.sleep(0.01)
    try:
        process.wait(timeout=instant)
        return False
    except subprocess.TimeoutExpired:
        pass
    name, _, whom = way.partition(" ")
    number = signal.Signals[name]
    if whom == "everything":
        os.killpg(process.pid, number)
    for child in stages_of(process.pid) if whom == "the stage" else []:
        child.send_signal(number)
    process.wait(timeout=120)
    return True


def forget(study: Path, stage: str) -> None:
    """Make DVC forget that it ever ran the stage (all of them: ""), or it would restore outputs."""
    shutil.rmtree(study / ".dvc" / "cache" / "runs", ignore_errors=True)
    lock = Paths(study).dvc_lock
    kept = {
        name: entry for name, entry in dvc_lock.entries(lock).items() if stage not in ("", name)
    }
    dvc_lock.write(lock, kept)


def stages_of(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def compare(study: Path, expected: dict[str, str], what: str) -> None:
    found = outputs(study)
    different = sorted(
        key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)
    )
    if different:
        raise AssertionError(
            f"after {what}: {len(different)} outputs differ, first {different[:5]}"
        )


def check_tracker(study: Path) -> None:
    """One finished run for each training, every epoch once."""
    params, paths = load_config(study / "params.yaml"), Paths(study)
    sync(params, paths)
    client = get_client(paths)
    runs = search_training_runs(client, params.tracking.experiment)
    assert sorted(run.info.run_name for run in runs) == sorted(run.name for run in params.runs)
    for run in runs:
        assert run.info.status == "FINISHED", run.info
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, STEP_METRIC)]
        epochs = params.run(run.info.run_name).train.epochs
        assert steps == list(range(1, epochs + 1)), (run.info.run_name, steps)


def kill_repeatedly(kills: int, seed: int, root: Path) -> None:
    draw = random.Random(seed)  # noqa: S311  # instants of kills, not secrets
    print("Running the study undisturbed ...", flush=True)
    seconds = new_study(root)
    study = root / "study"
    expected = outputs(study)
    made: Counter[str] = Counter()
    resumed = 0
    while made.total() < kills:
        # Every stage in turn, and the whole pipeline as often as one of them.
        stage = list(seconds)[made.total() % len(seconds)]
        instant, way = draw.uniform(0.1, seconds[stage]), draw.choice(WAYS)
        # Most of a small training is its start; its kills are aimed at the epochs, after the first
        # checkpoint.
        training = stage.startswith("train")
        instant = draw.uniform(0, EPOCHS_TAKE) if training else instant
        if not kill_once(study, stage, instant, way, after_checkpoint=training):
            continue
        where = f"the epochs of {stage}" if training else stage or "the whole pipeline"
        what = f"{way} {instant:.2f} s into {where}"
        resumed += repro(study).count("resumed after epoch")
        compare(study, expected, what)
        made[stage or "the whole pipeline"] += 1
        print(f"survived {made.total()}/{kills}: {what}", flush=True)
    check_tracker(study)
    print(", ".join(f"{count} in {stage}" for stage, count in made.items()))
    print(f"trainings that went on from a checkpoint: {resumed}")
    print(f"kills survived / kills made: {made.total()} / {kills}")
    print("MLflow has every run and every epoch once")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # A shell starts what it puts into the background with SIGINT ignored, and its children would
    # inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        try:
            kill_repeatedly(arguments.kills, arguments.seed, Path(folder))
        except AssertionError as error:
            sys.exit(f"LOST: {error}")
