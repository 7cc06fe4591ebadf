"""A study's whole life in git with a DVC remote: MLflow shows each turn, and old runs come back."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from conftest import IDENTITY, clean_environment, git_study, outputs
from mlflow import MlflowClient

from pipeline.config.grid import deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.storage.yaml_io import dump_yaml, read_yaml
from pipeline.tracking.client import get_client, search_training_runs
from pipeline.tracking.sync import find_drift

pytestmark = pytest.mark.slow
NAME = "pca_refined-2-0"
VIEWS = itertools.count(1)


def run(root: Path, *command: str, env: dict[str, str] | None = None, fails: bool = False) -> str:
    environment = clean_environment() | IDENTITY | (env or {})
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def ours(root: Path, *words: str, env: dict[str, str] | None = None, fails: bool = False) -> str:
    return run(root, sys.executable, "-m", "pipeline", *words, env=env, fails=fails)


def set_params(root: Path, document: dict) -> None:
    (root / "params.yaml").write_text(dump_yaml(document))


@pytest.fixture
def repository(tmp_path: Path, mnist_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "study with Кирилиця"
    changes = {
        "grid": {"variants": ["pca_refined"]},
        "download": {"source": str(mnist_root)},
        "train": {"epochs": 2},
    }
    remote = f"    remote = shared\n['remote \"shared\"']\n    url = {tmp_path / 'remote'}\n"
    git_study(root, changes, remote)
    return root


@contextmanager
def fresh_store(root: Path) -> Iterator[Paths]:
    """The store under a new name: MLflow keeps connections, even to a database that was deleted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/{'./' * next(VIEWS)}mlflow.db")
        yield Paths(root)


def shown(root: Path) -> dict[str, dict]:
    """What MLflow compares, by fingerprint, without ids and times."""
    with fresh_store(root) as paths:
        return compared(get_client(paths))


def compared(client: MlflowClient) -> dict[str, dict]:
    described = {}
    for found in search_training_runs(client, "vae-cifar10"):
        steps = [m.step for m in client.get_metric_history(found.info.run_id, "train_loss")]
        metrics = {k: v for k, v in found.data.metrics.items() if not k.startswith("system/")}
        tags = {
            k: v
            for k, v in found.data.tags.items()
            if k.startswith(("dvc_", "collapse", "current"))
        }
        status = found.info.status
        described[found.data.tags["fingerprint"]] = {
            "status": status,
            "steps": steps,
            "metrics": metrics,
            "tags": tags,
            "params": found.data.params,
        }
    return described


def agree(root: Path) -> None:
    """The numbers of MLflow, JSON and report are the same in every cell."""
    params, paths = load_config(root / "params.yaml"), Paths(root)
    with fresh_store(root):
        assert find_drift(params, paths) == []
    summary = pd.read_csv(root / "reports" / "summary.csv")
    summary.index = (
        summary["variant"]
        + "-"
        + summary["latent_dim"].astype(str)
        + "-"
        + summary["seed"].astype(str)
    )
    for cell in params.runs:
        for key, value in json.loads(paths.metrics(cell.name).read_text()).items():
            if key in summary.columns:
                assert summary.loc[cell.name, key] == (
                    value if isinstance(value, str) else pytest.approx(value)
                ), key


def test_the_whole_life_of_a_study(repository: Path, tmp_path: Path) -> None:
    root = repository
    original = read_yaml(root / "params.yaml")
    run(root, "dvc", "repro")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "A small study")
    assert "champion: pca_refined-2-0" in ours(root, "sync")
    first = shown(root)
    (fingerprint,) = first
    assert first[fingerprint]["status"] == "FINISHED"
    assert first[fingerprint]["tags"]["current"] == "true"
    assert f"dvc_md5.reports/metrics/{NAME}.json" in first[fingerprint]["tags"]
    agree(root)

    run(root, "dvc", "repro")
    assert shown(root) == first, "nothing to do makes no run"
    before = outputs(root)
    run(root, "dvc", "repro", "--force", "--single-item", f"train@{NAME}")
    assert outputs(root) == before, "a forced rerun gives the same bytes"
    assert {k: v["steps"] for k, v in shown(root).items()} == {fingerprint: [1, 2]}, (
        "and the same MLflow run"
    )

    shutil.rmtree(root / "mlartifacts")
    (root / "mlflow.db").unlink()
    assert "has 0 runs in MLflow" in run(root, "dvc", "repro", "--force", "--single-item", "report")
    ours(root, "sync")
    rebuilt = shown(root)
    timed = ("images_per_second", "train_seconds", "train_cpu_seconds")
    for seen in (rebuilt[fingerprint], first[fingerprint]):
        for key in timed:
            assert seen["metrics"].pop(key) > 0
    assert rebuilt[fingerprint] == first[fingerprint], (
        "a deleted store comes back with the same comparison"
    )
    agree(root)

    set_params(root, deep_merge(original, {"train": {"learning_rate": 0.002}}))
    said = ours(root, "plan")
    assert f"train@{NAME}: stale, about " in said
    assert "train.learning_rate: 0.001 -> 0.002" in said
    assert f"sample@{NAME}: stale" in said
    run(root, "dvc", "repro")
    ours(root, "sync")
    run(root, "dvc", "push")
    both = shown(root)
    assert sorted(seen["tags"]["current"] for seen in both.values()) == [
        "false",
        "true",
    ]
    changed = outputs(root)
    agree(root)

    set_params(root, original)
    said = ours(root, "plan")
    assert f"train@{NAME}: cached, from the run cache" in said
    assert f"evaluate@{NAME}: cached" in said
    assert f"Stage 'train@{NAME}' is cached" in run(root, "dvc", "repro")
    ours(root, "sync")
    assert shown(root)[fingerprint]["tags"]["current"] == "true"
    assert {k: v for k, v in outputs(root).items() if "reports/" not in k} == {
        k: v for k, v in before.items() if "reports/" not in k
    }, "back again with the same bytes"

    killed_training(root, original)
    assert "closed, no living process" in ours(root, "sync")
    assert sorted(seen["status"] for seen in shown(root).values()) == [
        "FINISHED",
        "FINISHED",
        "KILLED",
    ]
    run(root, "git", "checkout", "-q", "--", "params.yaml")

    (older,) = set(both) - {fingerprint}
    restored_elsewhere(root, tmp_path / "second", older, changed)


def killed_training(root: Path, original: dict) -> None:
    """Start a longer training and kill it once MLflow says that it runs."""
    set_params(root, deep_merge(original, {"train": {"epochs": 500}}))
    command = [sys.executable, "-m", "pipeline.stages", "train", NAME]
    process = subprocess.Popen(
        command, cwd=root, env=clean_environment(), stdout=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while not any(seen["status"] == "RUNNING" and seen["steps"] for seen in shown(root).values()):
        assert time.monotonic() < end, "no running training was seen"
        time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    set_params(root, original)


def restored_elsewhere(
    root: Path, second: Path, fingerprint: str, expected: dict[str, str]
) -> None:
    """An older run, of parameters that no commit has, comes back in another clone, every byte."""
    run(root, "git", "clone", "-q", str(root), str(second))
    elsewhere = {"MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow.db'}"}
    with fresh_store(root) as paths:
        runs = search_training_runs(get_client(paths), "vae-cifar10")
    (wanted,) = [run.info.run_id for run in runs if run.data.tags["fingerprint"] == fingerprint]
    (second / "params.yaml").write_text((second / "params.yaml").read_text() + "\n")
    assert "uncommitted work (params.yaml)" in ours(
        second, "restore", wanted, env=elsewhere, fails=True
    )
    run(second, "git", "checkout", "-q", "--", "params.yaml")
    assert "has no run nobody-9-9" in ours(
        second, "restore", "nobody-9-9", env=elsewhere, fails=True
    )
    ours(second, "restore", wanted, env=elsewhere)
    assert read_yaml(second / "params.yaml")["train"]["learning_rate"] == 0.002
    of_the_study = (
        "reports/report",
        "reports/explorer",
        "reports/summary",
        "reports/figures",
        "reports/results",
        "reports/translations",
    )
    kept = {
        path: digest
        for path, digest in outputs(second).items()
        if not path.startswith(of_the_study)
    }
    assert kept == {key: expected[key] for key in kept}
    assert {"models/pca_refined-2-0/weights.safetensors", f"reports/metrics/{NAME}.json"} <= set(
        kept
    )
    assert f"train@{NAME}" not in run(second, "dvc", "status"), (
        "DVC agrees that nothing need be trained"
    )
