"""How fast training is here, beside others' loops, and what it takes with more of everything."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import gpu
from benchmarks.processes import NUM_IMAGES, ROOT, ROUNDS, loop, result, speed, start, started
from benchmarks.results import Row, value_rows

CORES = os.cpu_count() or 1
ALL_CORES = "both cores" if CORES == 2 else f"all {CORES} cores"
PYTHAE = "pythae 0.1.2 on preloaded tensors"
TEXTBOOK = f"textbook loop, {ALL_CORES}"
SIDE_BY_SIDE = f"{CORES} runs side by side, one thread each"


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
