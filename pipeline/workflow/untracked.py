"""The whole study by its stages alone, where DVC and MLflow are not installed.

`python -m pipeline.workflow.untracked --jobs N`: every stage in its order, independent runs side by
side. The files are those of `dvc repro`; in a clone that has DVC, `dvc commit` takes them over and
`python -m pipeline sync` tells MLflow.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline import UserError, command_line

if TYPE_CHECKING:
    from pipeline.config.paths import Paths

RUN_STAGES = ("train", "sample", "evaluate")
logger = logging.getLogger(__name__)


def run_study(paths: Paths, jobs: int) -> None:
    """Run every stage of the study that params.yaml describes, `jobs` runs at a time.

    A failing run leaves the others going. Raises UserError if a stage failed, at the end.
    """
    from pipeline.config.loader import load_config

    config = load_config(paths.params)
    names = [run.name for run in config.runs]
    for stage in ("fetch", "baselines"):
        if not run_stage(paths, stage):
            raise UserError(f"stage {stage} failed; see above")
    cells = [("rivals", str(size)) for size in config.grid.latent_dims]
    with ThreadPoolExecutor(jobs) as pool:
        measured = list(pool.map(lambda cell: run_stage(paths, *cell), cells))
        trained = list(pool.map(lambda name: run_stages_of(paths, name), names))
    done = dict(zip(["@".join(cell) for cell in cells] + names, measured + trained, strict=True))
    failed = [name for name, whole in done.items() if not whole]
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; see above. Run again to go on")
    if not run_stage(paths, "report"):
        raise UserError("stage report failed; see above")


def run_stages_of(paths: Paths, name: str) -> bool:
    """Train, sample and evaluate one run; tell whether all three succeeded."""
    return all(run_stage(paths, stage, name) for stage in RUN_STAGES)


def run_stage(paths: Paths, *arguments: str) -> bool:
    """Run a stage in a process of its own; tell whether it succeeded."""
    command = [sys.executable, "-m", "pipeline.stages", *arguments]
    return subprocess.run(command, cwd=paths.root).returncode == 0


def main() -> None:
    """Run the study of the current folder; a person's mistake becomes one clear line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    jobs = parser.parse_args().jobs
    with command_line():
        from pipeline.config.paths import Paths

        if jobs < 1:
            raise UserError("--jobs is at least 1")
        run_study(Paths(), jobs)


if __name__ == "__main__":
    main()
