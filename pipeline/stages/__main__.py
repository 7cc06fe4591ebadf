"""How every DVC stage starts: `python -m pipeline.stages NAME [RUN or latent size]`."""

import os
import signal
import sys
import time
from importlib import import_module

from pipeline import UserError, foreign_python, is_out_of_memory, start_logging

STUDY_STAGES = ("fetch", "baselines", "report")
SIZE_STAGES = ("rivals",)
RUN_STAGES = ("train", "sample", "evaluate")
USAGE = (
    f"say which stage: python -m pipeline.stages {' | '.join(STUDY_STAGES)}, "
    f"or {' | '.join(SIZE_STAGES)} and a latent size, "
    f"or {' | '.join(RUN_STAGES)} and the name of one run, for example original-64-0"
)
OUT_OF_MEMORY = (
    "error: out of memory; lower train.batch_size or model.channels, or close other programs"
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

    start = time.monotonic()
    import_module(f"pipeline.stages.{name}").main(*selected, config, paths)
    stage = "@".join((name, *cell))
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
    if sys.version_info < (3, 11):  # noqa: UP036  # whichever `python` a shell finds
        sys.exit(f"error: {sys.executable} is Python {sys.version.split()[0]}; 3.11 is needed")
    start_logging()
    # A polite kill unwinds the stack like Ctrl-C: temporary files go, the tracker is told.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        run_stage(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        # DVC runs the `python` of its shell, whoever's dvc it was.
        sys.exit(f"error: {foreign_python(error)}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(OUT_OF_MEMORY)
    except OSError as error:
        # A full disk, a missing permission: the system's own words and the file name say it all.
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
