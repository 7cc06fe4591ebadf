"""How every DVC stage starts: `python -m pipeline.stages NAME [RUN or latent size]`."""

import os
import sys
import time
from importlib import import_module

from pipeline import UserError, command_line

STUDY_STAGES = ("fetch", "baselines", "report")
SIZE_STAGES = ("rivals",)
RUN_STAGES = ("train", "sample", "evaluate")
USAGE = (
    f"say which stage: python -m pipeline.stages {' | '.join(STUDY_STAGES)}, "
    f"or {' | '.join(SIZE_STAGES)} and a latent size, "
    f"or {' | '.join(RUN_STAGES)} and the name of one run, for example original-64-0"
)


def run_stage(name: str = "", *cell: str) -> None:
    """Check params.yaml, and only then import and run the stage: of the study, or of one cell."""
    # Imports take seconds: a Ctrl-C during them, too, must end in main's hands.
    from pipeline.config.loader import load_config
    from pipeline.config.paths import Paths

    if name not in (*STUDY_STAGES, *SIZE_STAGES, *RUN_STAGES):
        raise UserError(USAGE)
    if len(cell) != (name not in STUDY_STAGES):
        raise UserError(USAGE)
    paths = Paths()
    config = load_config(paths.params)
    select = config.latent_dim if name in SIZE_STAGES else config.run
    selected = [select(value) for value in cell]
    limit_threads(config.train.num_threads)
    from pipeline.storage import atomic
    from pipeline.workflow.inputs import read_inputs, require_unchanged

    start, before = time.monotonic(), read_inputs(name, cell, paths)
    import_module(f"pipeline.stages.{name}").main(*selected, config, paths)
    stage = "@".join((name, *cell))
    require_unchanged(before, read_inputs(name, cell, paths), stage)
    atomic.write_json(paths.duration(stage), {"seconds": time.monotonic() - start})


def limit_threads(count: int) -> None:
    """Let every library use so many threads; none may be imported yet.

    How a sum is split over threads decides its rounding: a stage's bytes must depend neither on the
    machine's cores nor on what runs beside it.
    """
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(count)


def main() -> None:
    """Run a stage; a person's mistake becomes one clear line."""
    with command_line():
        run_stage(*sys.argv[1:])


if __name__ == "__main__":
    main()
