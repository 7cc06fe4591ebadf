"""How every DVC stage starts: check the parameters, find the cell, turn a mistake into one clear line."""

import signal
import sys
from collections.abc import Callable

from pipeline import StudyError
from pipeline.params import Params, Run, load
from pipeline.paths import Paths


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
    except OSError as error:
        # A full disk, a missing permission: the operating system's own words and the file name say it all.
        sys.exit(f"error: {error}")
