"""`make bench`: how fast training, start-up and an idle repro are here, as ratios of one run; prints Markdown."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import pytest
from conftest import DVC_CONFIG, ROOT

from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.system_info import system_summary
from pipeline.evaluation.evaluator import cost_metrics
from pipeline.stages.__main__ import RUN_STAGES, STUDY_STAGES
from pipeline.storage.yaml_io import read_yaml
from pipeline.workflow.workspace import create_workspace

IMAGES = 6_400
ROUNDS = 3
CORES = os.cpu_count() or 1
OUTS = """import dvc.repo
for stage in dvc.repo.Repo().index.stages:
    print(*(out.fspath for out in stage.outs), sep="\\n")"""
STAGE = (sys.executable, "-m", "pipeline.stages")
REPRO = f"from pipeline.grid import repro; from pipeline.paths import Paths; repro(Paths(), {CORES}, None)"
LOOPS, OF_PYTHAE = (
    Path(__file__).with_name(name) for name in ("bench_loops.py", "bench_pythae.py")
)
PYTHAE = f"pythae 0.1.2 on preloaded tensors, {CORES} threads"


def start(name: str, count: int, **changes: object) -> subprocess.Popen[str]:
    words = [f"{key}={str(value).lower()}" for key, value in changes.items()]
    return started([sys.executable, str(LOOPS), name, str(count), *words])


def started(command: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


def result(process: subprocess.Popen[str]) -> dict:
    out, error = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args} failed: {error[-500:]}")
    return json.loads(out.splitlines()[-1])


def loop(name: str, count: int = IMAGES, **changes: object) -> dict:
    """A loop alone on the machine."""
    return result(start(name, count, **changes))


def side_by_side(**changes: object) -> float:
    """Images per second of as many one-thread runs as there are cores, together."""
    running = [start("ours", IMAGES, threads=1, epochs=4, **changes) for _ in range(CORES)]
    return sum(median(result(process)["speeds"]) for process in running)


def table(head: list[str], rows: list[list[str]]) -> None:
    for line in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        print("| " + " | ".join(line) + " |", flush=True)
    print(flush=True)


def training() -> None:
    """Alternating rounds; every ratio is to the textbook loop of its own round."""
    wanted: dict[str, Callable[[], float]] = {
        "textbook loop, all cores": lambda: median(loop("textbook")["speeds"]),
        "one run, one thread (the default)": lambda: median(loop("ours", threads=1)["speeds"]),
        "one run, all cores": lambda: median(loop("ours", threads=CORES)["speeds"]),
        "one run, all cores, train.compile": lambda: median(
            loop("ours", threads=CORES, compile=True)["speeds"]
        ),
        f"{CORES} runs side by side": side_by_side,
        f"{CORES} runs side by side, fp32": lambda: side_by_side(precision="fp32"),
    }
    if python := pythae():
        wanted[PYTHAE] = lambda: median(
            result(started([python, str(OF_PYTHAE), str(IMAGES), str(CORES)]))["speeds"]
        )
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(ROUNDS):
        for name, measure in wanted.items():
            found[name].append(measure())
    others = [name for name in ("textbook loop, all cores", PYTHAE) if name in found]
    rows = []
    for name, speeds in found.items():
        ratios = [
            median(mine / its for mine, its in zip(speeds, found[other], strict=True))
            for other in others
        ]
        rows.append([name, f"{median(speeds):.0f}", *(f"{ratio:.2f}" for ratio in ratios)])
    head = [
        "training the reference variant, z = 128, batch 64",
        "images/s",
        *(f"of {other}" for other in others),
    ]
    table(head, rows)
    limits(median(found[f"{CORES} runs side by side"]) / CORES)


def pythae() -> str | None:
    """The Python of an environment with pythae, made if need be; None, said with the reason, if it cannot be had."""
    environment = ROOT / ".bench-venv"
    packages = [f"{name}=={version(name)}" for name in ("torch", "torchvision")]
    python = str(environment / "bin" / "python")
    if (
        Path(python).exists()
        and subprocess.run([python, "-c", "import pythae"], capture_output=True).returncode == 0
    ):
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    install = [python, "-m", "pip", "install", "-q", "pythae==0.1.2", *packages]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        print(
            f"pythae is skipped, it cannot be installed: {done.stderr.strip()[-200:]}\n", flush=True
        )
    return None if done.returncode else python


def limits(speed: float) -> None:
    """How far a step is from what the processor can do, and what its data costs."""
    import torch

    from pipeline.models.vae import VAE

    model = VAE([3, 32, 32], 128, likelihood="bernoulli", **load_config().model.model_dump())
    flops = 3 * cost_metrics(model)["forward_flops"]
    peak = max(loop("peak", 1, threads=1)["loss"] for _ in range(ROUNDS))
    data = median(loop("data_only", threads=1)["speeds"])
    alone = median(loop("ours", threads=1)["speeds"])
    fast, book = loop("ours", 12_800, threads=1, epochs=3), loop("textbook", 12_800, epochs=3)
    capability = torch.backends.cpu.get_cpu_capability()
    share = f"{speed * flops / peak / 1e9:.0%}"
    rows = [
        [f"a step's FLOP/s of a matrix product's ({capability}, {peak:.0f} GFLOP/s a core)", share],
        ["data and augmentation, of a step's time", f"{alone / data:.1%}"],
        ["training loss after four epochs of 12,800 images: ours", f"{fast['loss']:.4f}"],
        ["the textbook loop's", f"{book['loss']:.4f}"],
    ]  # fmt: skip  # a table of sentences
    table(["distance to the limit", ""], rows)


def overhead() -> None:
    """Imports of each stage, `dvc repro` with nothing to do, and what the demo takes beside the work in it."""
    starts = {}
    for stage in (*STUDY_STAGES, *RUN_STAGES):
        command = [sys.executable, "-c", f"import pipeline.stages.{stage}"]
        starts[stage] = median(seconds(command) for _ in range(ROUNDS))
    rows = [
        [f"start of `{stage}`: its imports, s", f"{taken:.1f}"] for stage, taken in starts.items()
    ]
    rows.append(["`dvc repro` of the 8-run study with nothing to do, s", f"{idle_repro():.1f}"])
    rows.append(
        ["the demo's grid by `make repro`, of the sum of its stages' work", f"{demo(starts):.2f}"]
    )
    rows.append(["all measures of one calibrated run, z = 128, s", f"{evaluation():.0f}"])
    table(["overhead", ""], rows)


def demo(starts: dict[str, float]) -> float:
    """Time of the whole grid, relative to its stages one after another, each without its imports."""
    with tempfile.TemporaryDirectory() as together, tempfile.TemporaryDirectory() as alone:
        for folder in (together, alone):
            create_workspace(
                ROOT, Path(folder), read_yaml(ROOT / "pipeline" / "demo.yaml"), DVC_CONFIG
            )
        total = seconds([sys.executable, "-c", REPRO], Path(together))
        cells = [run.name for run in load_config(Path(alone) / "params.yaml").runs]
        steps = [
            ["fetch"],
            ["baselines"],
            *([stage, cell] for cell in cells for stage in RUN_STAGES),
            ["report"],
        ]
        work = sum(seconds([*STAGE, *step], Path(alone)) - starts[step[0]] for step in steps)
    return total / work


def evaluation() -> float:
    """Seconds in the evaluate stage of a run that was trained for an epoch: how well does not change how long."""
    short = {
        "study": {"variants": ["calibrated"], "latent_dims": [128]},
        "data": {"train_images": 10_000},
        "train": {"epochs": 1},
    }
    with tempfile.TemporaryDirectory() as folder:
        create_workspace(ROOT, Path(folder), short, DVC_CONFIG)
        for step in (
            ["fetch"],
            ["baselines"],
            *([stage, "calibrated-128-0"] for stage in RUN_STAGES),
        ):
            seconds([*STAGE, *step], Path(folder))
        return json.loads(Paths(Path(folder)).duration("evaluate@calibrated-128-0").read_text())[
            "seconds"
        ]


def trackers() -> None:
    """What a tracker costs a training, reachable or not: images/s of that without one, alternating."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as silent:
        places = {
            "a database of its own": f"sqlite:///{folder}/mlflow.db",
            "nobody listening": "http://127.0.0.1:9",
            "a server that never answers": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        ratios: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(ROUNDS):
            alone = median(loop("ours", threads=1, epochs=4)["speeds"])
            for name, address in places.items():
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("MLFLOW_TRACKING_URI", address)
                    ratios[name].append(
                        median(loop("tracked", threads=1, epochs=4)["speeds"]) / alone
                    )
    rows = [[name, f"{median(found):.3f}"] for name, found in ratios.items()]
    table(["a training mirrored to", "of its images/s alone"], rows)


def seconds(command: list[str], folder: Path = ROOT) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begun


def idle_repro() -> float:
    """In a workspace whose outputs were committed to DVC as they stand, empty: what it looks at is as much."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder)
        create_workspace(ROOT, study, {}, DVC_CONFIG)
        listed = subprocess.run(
            [sys.executable, "-c", OUTS], cwd=study, check=True, capture_output=True, text=True
        )
        for path in map(Path, listed.stdout.splitlines()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("") if path.suffix else path.mkdir()
        subprocess.run(["dvc", "commit", "--force", "--quiet"], cwd=study, check=True)
        return median(seconds(["dvc", "repro"], study) for _ in range(ROUNDS))


def growth() -> None:
    """Time and memory against what one can ask for more of; one thread a run. Of several, all together."""
    rows = []
    for what, runs, count, changes in (
        ("5,000 images", 1, 5_000, {}),
        ("20,000 images", 1, 20_000, {}),
        ("45,000 images", 1, 45_000, {}),
        ("5,000 images, 3 epochs more", 1, 5_000, {"epochs": 4}),
        ("5,000 images, latent size 512", 1, 5_000, {"latent_dim": 512}),
        ("5,000 images, calibrated", 1, 5_000, {"variant": "calibrated"}),
        (
            "5,000 images, calibrated, latent size 512",
            1,
            5_000,
            {"variant": "calibrated", "latent_dim": 512},
        ),
        (f"5,000 images, {CORES} runs at once", CORES, 5_000, {"epochs": 3}),
        (f"5,000 images, {2 * CORES} runs at once", 2 * CORES, 5_000, {"epochs": 3}),
    ):
        running = [
            start("ours", count, **({"threads": 1, "epochs": 1} | changes)) for _ in range(runs)
        ]
        found = [result(process) for process in running]
        speeds = [median(one["speeds"]) for one in found]
        memory = sum(one["memory"] for one in found)
        rows.append([what, f"{count / min(speeds):.1f}", f"{sum(speeds):.0f}", f"{memory:.0f}"])
    table(["growth", "s an epoch", "images/s", "peak memory, MiB"], rows)


def main() -> None:
    print(f"Measured on {system_summary()}; medians of {ROUNDS} alternating rounds.\n", flush=True)
    training()
    trackers()
    overhead()
    growth()


if __name__ == "__main__":
    main()
