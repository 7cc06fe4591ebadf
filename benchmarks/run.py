"""`make bench`: how fast training, start-up and an idle repro are here, as ratios of one run.

`python -m benchmarks.run [TABLE ...]` measures all tables or the named ones, prints them in
Markdown and writes their rows to benchmarks/results.json, and a GPU's to benchmarks/gpu.json. What
needs a GPU, DVC or MLflow is left out where there is none.
"""

import sys
from collections.abc import Callable

import torch

from benchmarks import gpu, speed
from benchmarks.explorer import explorer
from benchmarks.overhead import is_installed, overhead
from benchmarks.processes import ROUNDS
from benchmarks.results import GPU_RESULTS, RESULTS, Row, as_markdown, save
from pipeline.config.system_info import system_summary

TABLES: dict[str, Callable[[], list[Row]]] = {
    "training": speed.training,
    "limits": speed.limits,
    "overhead": overhead,
    "tracking": speed.tracking,
    "growth": speed.growth,
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
