"""The GPU's tables of `make bench`: each kind of step, each stage, the whole study.

They need the code, params.yaml and PyTorch; neither DVC nor MLflow nor git.
"""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch

from benchmarks.loops import CPU, make_run
from benchmarks.processes import loop, plain_study, run_stages, seconds
from benchmarks.results import MEASURING, Row, value_rows
from pipeline.config.loader import load_config
from pipeline.evaluation.evaluator import cost_metrics
from pipeline.stages.__main__ import RUN_STAGES
from pipeline.training.state import build_train_state

VARIANTS = ("original", "pca_refined", "flow")
BATCH_SIZES = (64, 512)
STEPS = ("eager", "graph", "compile")
NUM_IMAGES = 45_000
EPOCHS = 3
LATENT_DIM = 128
# What a matrix product of this side reaches counts as the card's limit.
PEAK_SIDE = 8192
# Of the study's runs, as many side by side as keep one GPU busy while the processor works for it.
NUM_JOBS = max(1, min(8, (os.cpu_count() or 1) // 2))
UNTRACKED = ("-m", "pipeline.workflow.untracked", "--jobs", str(NUM_JOBS))


def device() -> str:
    """Return the device that VAE_DEVICE names, else CUDA."""
    return os.environ.get("VAE_DEVICE") or "cuda"


def training() -> list[Row]:
    """Train each variant by each kind of step; `of_peak` is per cent of a matrix product's FLOP/s.

    A kind that cannot work here (torch.compile without a compiler) is said and left out.
    """
    peak = loop("peak", 1, device(), side=PEAK_SIDE, epochs=EPOCHS)["loss"]
    rows = []
    for variant in VARIANTS:
        flops = step_flops(variant)
        for batch_size in BATCH_SIZES:
            for step in STEPS:
                wanted = {"variant": variant, "batch_size": batch_size, "step": step}
                try:
                    found = loop("ours", NUM_IMAGES, device(), epochs=EPOCHS, **wanted)
                except RuntimeError as error:
                    print(f"{variant}, batch {batch_size}, {step} is left out: {error}\n")
                    continue
                speed = median(found["speeds"])
                rows.append(
                    {
                        "table": "gpu_training",
                        "case": variant,
                        "batch_size": batch_size,
                        "step": step,
                        "images_per_second": round(speed),
                        "milliseconds_a_step": round(1000 * batch_size / speed, 2),
                        "of_peak": round(100 * speed * flops / peak / 1e9, 1),
                        "start_seconds": round(found["first"] - NUM_IMAGES / speed, 1),
                        "gpu_memory_mib": round(found["gpu_memory"]),
                    }
                )
    return rows


def step_flops(variant: str) -> float:
    """Return the operations that a training step costs an image: one pass, and two backwards."""
    run = make_run({"variant": variant})
    model = build_train_state(run, [3, 32, 32], 1, CPU).model
    return 3 * cost_metrics(model)["forward_flops"]


def stages() -> list[Row]:
    """Time each stage of a study of one run, alone on the machine."""
    grid = {"variants": ["pca_refined"], "latent_dims": [LATENT_DIM], "seeds": [0]}
    with tempfile.TemporaryDirectory() as folder:
        plain_study(Path(folder), {"grid": grid})
        taken = run_stages(Path(folder), device())
    run = f"pca_refined-{LATENT_DIM}-0"
    measured = sum(taken[f"{stage}@{run}"] for stage in RUN_STAGES if stage != "train")
    found = {f"`{stage}`": (round(value, 1), "s") for stage, value in taken.items()}
    found[MEASURING] = (round(measured, 1), "s")
    return value_rows("gpu_stages", found)


def study() -> list[Row]:
    """Time the study that params.yaml describes, by its stages alone."""
    with tempfile.TemporaryDirectory() as folder:
        plain_study(Path(folder), {})
        num_runs = len(load_config(Path(folder) / "params.yaml").runs)
        took = seconds([sys.executable, *UNTRACKED], Path(folder), device())
    case = f"the whole study: {num_runs} runs, {NUM_JOBS} side by side, by its stages alone"
    return value_rows("gpu_study", {case: (round(took / 60, 1), "min")})


def gpu_name() -> str:
    """Name the card that the tables are of."""
    name = torch.cuda.get_device_name(torch.device(device()))
    return f"{name}, PyTorch {torch.__version__}"
