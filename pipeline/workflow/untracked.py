"""The whole study by its stages alone, where DVC and MLflow are not installed.

`python -m pipeline.workflow.untracked --jobs N`: every stage in its order, independent runs side by
side; with `--preset generation` the study of that preset, in .generation/. The files are those of
`dvc repro`; in a clone that has DVC, `dvc commit` takes them over and `python -m pipeline sync`
tells MLflow.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import UserError, command_line

if TYPE_CHECKING:
    from pipeline.config.grid import RunConfig
    from pipeline.config.paths import Paths

    # Its name, and the run or the latent size that it is of.
    Stage = tuple[str, str]

RUN_STAGES = ("train", "sample", "evaluate")
logger = logging.getLogger(__name__)


def run_study(paths: Paths, jobs: int) -> None:
    """Run every stage of the study that params.yaml describes, `jobs` runs at a time.

    A failing run leaves the others going, and is tried once more, alone: memory may have run out.
    Raises UserError if a stage failed, at the end.
    """
    from pipeline.config.loader import load_config

    config = load_config(paths.params)
    for stage in ("fetch", "baselines"):
        if not run_stage(paths, stage):
            raise UserError(f"stage {stage} failed; see above")
    cells = [stages_of(run, paths) for run in config.runs]
    cells += [[("rivals", str(size))] for size in config.grid.latent_dims]
    with ThreadPoolExecutor(jobs) as pool:
        left = list(pool.map(lambda cell: run_stages(paths, cell), cells))
    again = [cell for cell in left if cell]
    if again:
        logger.warning("Trying again, alone: %s", ", ".join("@".join(cell[0]) for cell in again))
    failed = ["@".join(cell[0]) for cell in again if run_stages(paths, cell)]
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; see above. Run again to go on")
    if not run_stage(paths, "report"):
        raise UserError("stage report failed; see above")


def stages_of(run: RunConfig, paths: Paths) -> list[Stage]:
    """List a run's stages in their order, without a training that is finished and saved."""
    from pipeline.data.dataset import load_dataset
    from pipeline.workflow.fingerprint import run_fingerprint
    from pipeline.workflow.train_run import is_saved

    dataset = load_dataset(paths.dataset(run.data.dataset))
    fingerprint = run_fingerprint(run, dataset.sha256)
    stages = RUN_STAGES[1:] if is_saved(paths, run.name, fingerprint) else RUN_STAGES
    return [(stage, run.name) for stage in stages]


def run_stages(paths: Paths, stages: list[Stage]) -> list[Stage]:
    """Run stages in their order up to one that fails; returns it and what comes after it."""
    for done, stage in enumerate(stages):
        if not run_stage(paths, *stage):
            return stages[done:]
    return []


def run_stage(paths: Paths, *arguments: str) -> bool:
    """Run a stage in a process of its own; tell whether it succeeded."""
    command = [sys.executable, "-m", "pipeline.stages", *arguments]
    return subprocess.run(command, cwd=paths.root).returncode == 0


def main() -> None:
    """Run the study of the current folder; a person's mistake becomes one clear line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--preset", help="demo, ablation or generation; else params.yaml as it is")
    asked = parser.parse_args()
    with command_line():
        if asked.jobs < 1:
            raise UserError("--jobs is at least 1")
        run_study(workspace(asked.preset), asked.jobs)


def workspace(preset: str | None) -> Paths:
    """Return the current folder, or that of a preset, laid out; UserError if there is no such."""
    from pipeline.config.paths import Paths
    from pipeline.workflow.presets import NAMES, lay_out, preset_changes

    if preset is None:
        return Paths()
    if preset not in NAMES:
        raise UserError(f"there is no preset {preset}; allowed: {', '.join(NAMES)}")
    root, folder = Path().resolve(), Path(f".{preset}")
    lay_out(root, root / folder, preset_changes(root / "params.yaml", preset))
    return Paths(folder)


if __name__ == "__main__":
    main()
