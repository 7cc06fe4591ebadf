"""How every DVC stage starts: check the parameters, find the cell, turn a mistake into one clear line."""

import signal
import sys
from collections.abc import Callable

from pipeline import StudyError
from pipeline.params import Params, Run
from pipeline.params_yaml import load
from pipeline.paths import Paths

OUT_OF_MEMORY = "error: out of memory; lower train.batch_size or model.channels, or close other programs"


def start(main: Callable[[Params, Paths], None]) -> None:
    """Run a stage that concerns the whole study."""
    _guarded(lambda paths: main(load(paths.params), paths))


def start_run(main: Callable[[Run, Params, Paths], None]) -> None:
    """Run a stage of one cell, whose name is the only command-line argument."""

    def of_cell(paths: Paths) -> None:
        if len(sys.argv) != 2:
            raise StudyError(f"{sys.argv[0]} takes the name of one run, for example reference-64-0")
        params = load(paths.params)
        main(params.run(sys.argv[1]), params, paths)

    _guarded(of_cell)


def _guarded(stage: Callable[[Paths], None]) -> None:
    # A polite kill unwinds the stack like Ctrl-C, so that temporary files go and the tracker is told.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        stage(Paths())
    except StudyError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except RuntimeError as error:
        # PyTorch's CPU allocator raises a plain RuntimeError, its CUDA allocator a subclass of it.
        if "allocate" not in str(error) and "out of memory" not in str(error):
            raise
        sys.exit(OUT_OF_MEMORY)
    except OSError as error:
        # A full disk, a missing permission: the operating system's own words and the file name say it all.
        sys.exit(f"error: {error}")
