"""`make bench`: how fast training, start-up and an idle repro are here, as ratios of one run.

`python -m benchmarks.run [TABLE ...]` measures all tables or the named ones, prints them in
Markdown and writes their rows to benchmarks/results.json, and a GPU's to benchmarks/gpu.json. What
needs a GPU, DVC or MLflow is left out where there is none.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import gpu
from benchmarks.explorer import explorer
from benchmarks.processes import (
    NUM_IMAGES,
    ROOT,
    loop,
    plain_study,
    result,
    run_stages,
    seconds,
    speed,
    start,
    started,
)
from benchmarks.results import GPU_RESULTS, RESULTS, Row, as_markdown, save, value_rows
from pipeline.config.system_info import system_summary
from pipeline.stages.__main__ import RUN_STAGES, SIZE_STAGES, STUDY_STAGES
from pipeline.storage.yaml_io import read_yaml
from pipeline.workflow.workspace import PRESETS, create_workspace

ROUNDS = 3
CORES = os.cpu_count() or 1
ALL_CORES = "both cores" if CORES == 2 else f"all {CORES} cores"
# A DVC repository of its own, without git and without a word to anybody.
DVC_CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
PYTHAE = "pythae 0.1.2 on preloaded tensors"
TEXTBOOK = f"textbook loop, {ALL_CORES}"
SIDE_BY_SIDE = f"{CORES} runs side by side, one thread each"
IMPORTS_OF = "import pipeline.stages.{}"
OUTS = """import dvc.repo
for stage in dvc.repo.Repo().index.stages:
    print(*(out.fspath for out in stage.outs), sep="\\n")"""
REPRO = f"""from pipeline.config.paths import Paths
from pipeline.workflow.runner import repro
repro(Paths(), {CORES}, None)"""


# What is measured.


def training() -> list[Row]:
    """Train in alternating rounds; every ratio is to the other loop in its own round."""
    wanted: dict[str, Callable[[], float]] = {
        TEXTBOOK: lambda: speed("textbook"),
        "one run, one thread (the default)": lambda: speed("ours", num_threads=1),
        f"one run, {ALL_CORES} (`train.num_threads: {CORES}`)": lambda: speed(
            "ours", num_threads=CORES
        ),
        "the same with `train.compile`": lambda: speed("ours", num_threads=CORES, compile=True),
        SIDE_BY_SIDE: side_by_side,
        f"{CORES} runs side by side, fp32": lambda: side_by_side(precision="fp32"),
    }
    if python := pythae_python():
        command = [python, "-m", "benchmarks.pythae", str(NUM_IMAGES), str(CORES)]
        wanted[PYTHAE] = lambda: median(result(started(command))["speeds"])
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(ROUNDS):
        for name, measure in wanted.items():
            found[name].append(measure())
    rows = []
    for name, speeds in found.items():
        row = {"table": "training", "case": name, "images_per_second": round(median(speeds))}
        for key, other in (("of_textbook", TEXTBOOK), ("of_pythae", PYTHAE)):
            if other in found:
                ratios = [mine / its for mine, its in zip(speeds, found[other], strict=True)]
                row[key] = round(median(ratios), 2)
        rows.append(row)
    return rows


def limits() -> list[Row]:
    """Say how far a step is from what the processor can do, and what its data costs."""
    flops = gpu.step_flops("original")
    together = median(side_by_side() for _ in range(ROUNDS)) / CORES
    peak = max(loop("peak", 1, num_threads=1)["loss"] for _ in range(ROUNDS))
    data, alone = speed("data_only", num_threads=1), speed("ours", num_threads=1)
    fast = loop("ours", 12_800, num_threads=1, epochs=3)
    book = loop("textbook", 12_800, epochs=3)
    processor = f"{torch.backends.cpu.get_cpu_capability()}, {peak:.0f} GFLOP/s a core"
    losses = "training loss after four epochs of 12,800 images"
    found = {
        f"a step's FLOP/s, relative to a matrix product's ({processor})": (
            round(100 * together * flops / peak / 1e9),
            "%",
        ),
        "data and augmentation, of a step's time": (round(100 * alone / data, 1), "%"),
        f"{losses}: this code": (round(fast["loss"], 4), "nats"),
        f"{losses}: the textbook loop": (round(book["loss"], 4), "nats"),
    }
    return value_rows("limits", found)


def overhead() -> list[Row]:
    """Time each stage's imports, an idle `dvc repro`, an evaluation, and the demo's whole grid."""
    starts = {}
    for stage in (*STUDY_STAGES, *SIZE_STAGES, *RUN_STAGES):
        command = [sys.executable, "-c", IMPORTS_OF.format(stage)]
        starts[stage] = median(seconds(command) for _ in range(ROUNDS))
    found = {
        f"start of `{stage}`: its imports": (round(taken, 1), "s")
        for stage, taken in starts.items()
    }
    case = f"all metrics of one run (`pca_refined`, z = 128) on {ALL_CORES}"
    found[case] = (round(evaluation()), "s")
    if is_installed("dvc"):
        case = "`dvc repro` of the 8-run study with nothing to do"
        found[case] = (round(idle_repro(), 1), "s")
        case = "the demo's grid by `make repro`, of the sum of its stages' work"
        found[case] = (round(demo_of_its_work(starts), 2), "×")
    return value_rows("overhead", found)


def tracking() -> list[Row]:
    """Compare images per second with those of an untracked training, in alternating rounds."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as silent:
        places = {
            "a database of its own": f"sqlite:///{folder}/mlflow.db",
            "nobody listening": "http://127.0.0.1:9",
            "a server that never answers": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        ratios: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(ROUNDS):
            alone = speed("ours", num_threads=1, epochs=4)
            for name, address in places.items():
                process = start("tracked", NUM_IMAGES, tracker=address, num_threads=1, epochs=4)
                ratios[name].append(median(result(process)["speeds"]) / alone)
    return [
        {"table": "tracking", "case": name, "of_untracked": round(median(found), 2)}
        for name, found in ratios.items()
    ]


def growth() -> list[Row]:
    """Measure time and memory against what one can ask for more of; one thread a run.

    Of several runs it is the memory and the images per second of all together.
    """
    large = {"latent_dim": 512}
    refined = {"variant": "pca_refined"}
    return [
        growth_row("5,000 images", 5_000),
        growth_row("20,000 images", 20_000),
        growth_row("45,000 images", 45_000),
        growth_row("5,000 images, 3 epochs more", 5_000, epochs=4),
        growth_row("5,000 images, latent size 512", 5_000, **large),
        growth_row("5,000 images, `pca_refined`", 5_000, **refined),
        growth_row("5,000 images, `pca_refined`, latent size 512", 5_000, **refined, **large),
        growth_row(f"5,000 images, {CORES} runs at once", 5_000, CORES, epochs=3),
        growth_row(f"5,000 images, {2 * CORES} runs at once", 5_000, 2 * CORES, epochs=3),
    ]


def growth_row(case: str, count: int, num_runs: int = 1, **changes: object) -> Row:
    """Train `num_runs` at once on `count` images each."""
    wanted: dict[str, Any] = {"num_threads": 1, "epochs": 1, **changes}
    running = [start("ours", count, **wanted) for _ in range(num_runs)]
    found = [result(process) for process in running]
    speeds = [median(one["speeds"]) for one in found]
    return {
        "table": "growth",
        "case": case,
        "seconds_per_epoch": round(count / min(speeds), 1),
        "images_per_second": round(sum(speeds)),
        "peak_memory_mib": round(sum(one["memory"] for one in found)),
    }


def side_by_side(**changes: object) -> float:
    """Return the images per second of as many one-thread runs as there are cores, together."""
    wanted: dict[str, Any] = {"num_threads": 1, "epochs": 4, **changes}
    running = [start("ours", NUM_IMAGES, **wanted) for _ in range(CORES)]
    return sum(median(result(process)["speeds"]) for process in running)


def pythae_python() -> str | None:
    """Return the Python of an environment with pythae, made if need be.

    None, said with the reason, if it cannot be had.
    """
    environment = ROOT / ".bench-venv"
    python = str(environment / "bin" / "python")
    probe = [python, "-c", "import pythae.models"]
    if Path(python).exists() and subprocess.run(probe, capture_output=True).returncode == 0:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    packages = [f"{name}=={version(name)}" for name in ("torch", "torchvision")]
    install = [python, "-m", "pip", "install", "-q", "pythae==0.1.2", *packages]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip()[-200:]
        print(f"pythae is skipped, it cannot be installed: {reason}\n", flush=True)
        return None
    return python


# Studies in workspaces of their own.


def demo_of_its_work(starts: dict[str, float]) -> float:
    """Time the demo's grid, relative to its stages one by one, each without its imports."""
    demo = read_yaml(PRESETS / "demo.yaml")
    with tempfile.TemporaryDirectory() as together, tempfile.TemporaryDirectory() as alone:
        create_workspace(ROOT, Path(together), demo, DVC_CONFIG)
        plain_study(Path(alone), demo)
        total = seconds([sys.executable, "-c", REPRO], Path(together))
        taken = run_stages(Path(alone))
    return total / sum(took - starts[step.partition("@")[0]] for step, took in taken.items())


def evaluation() -> float:
    """Time the evaluate stage of a run that was trained for an epoch.

    How well it was trained does not change how long that takes.
    """
    grid = {"variants": ["pca_refined"], "latent_dims": [128], "seeds": [0]}
    short = {"grid": grid, "data": {"train_size": 10_000}, "train": {"epochs": 1}}
    with tempfile.TemporaryDirectory() as folder:
        plain_study(Path(folder), short)
        return run_stages(Path(folder), report=False)["evaluate@pca_refined-128-0"]


def idle_repro() -> float:
    """Time `dvc repro` where every output was committed to DVC as it stands, empty.

    What it looks at is as much as in a finished study.
    """
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder)
        create_workspace(ROOT, study, {}, DVC_CONFIG)
        command = [sys.executable, "-c", OUTS]
        listed = subprocess.run(command, cwd=study, check=True, capture_output=True, text=True)
        for path in map(Path, listed.stdout.splitlines()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("") if path.suffix else path.mkdir()
        subprocess.run(["dvc", "commit", "--force", "--quiet"], cwd=study, check=True)
        return median(seconds(["dvc", "repro"], study) for _ in range(ROUNDS))


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported here."""
    return find_spec(package) is not None


TABLES: dict[str, Callable[[], list[Row]]] = {
    "training": training,
    "limits": limits,
    "overhead": overhead,
    "tracking": tracking,
    "growth": growth,
    "explorer": explorer,
}
GPU_TABLES: dict[str, Callable[[], list[Row]]] = {
    "gpu_training": gpu.training,
    "gpu_stages": gpu.stages,
    "gpu_study": gpu.study,
}


def measurable() -> list[str]:
    """Name the tables that can be measured here; say why the others cannot."""
    names = [*TABLES, *GPU_TABLES]
    if not torch.cuda.is_available():
        print("No GPU's tables: PyTorch sees none here.\n")
        names = [name for name in names if name not in GPU_TABLES]
    if not is_installed("mlflow"):
        print("No table `tracking`: MLflow is not installed.\n")
        names.remove("tracking")
    return names


def main() -> None:
    """Measure the tables that the arguments name, or all that can be measured here."""
    if unknown := set(sys.argv[1:]) - set(TABLES | GPU_TABLES):
        allowed = ", ".join(TABLES | GPU_TABLES)
        sys.exit(f"error: no table {', '.join(sorted(unknown))}; allowed: {allowed}")
    machine = system_summary()
    print(f"Measured on {machine}; medians of {ROUNDS} alternating rounds.\n", flush=True)
    for name in sys.argv[1:] or measurable():
        rows = (TABLES | GPU_TABLES)[name]()
        print(f"{as_markdown(rows)}\n", flush=True)
        if name in GPU_TABLES:
            save(rows, gpu.gpu_name(), GPU_RESULTS)
        else:
            save(rows, machine, RESULTS)


if __name__ == "__main__":
    main()
