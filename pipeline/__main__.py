"""`python -m pipeline VERB`, where this Python has what the project needs."""

import sys

from pipeline import foreign_python

try:
    from pipeline.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {foreign_python(error)}")

main()
