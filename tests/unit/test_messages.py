"""Messages go to standard output as they are, and only this package's."""

import subprocess
import sys

from conftest import ROOT, clean_environment

SPEAKER = """
import logging
from pipeline import start_logging
logging.getLogger("pipeline.early").info("too early")
start_logging()
start_logging()
logging.getLogger("pipeline.workflow.runner").info("said %d times", 1)
logging.getLogger("pipeline.tracking.client").warning("MLflow could not be written")
logging.getLogger("pipeline").debug("details")
logging.getLogger("mlflow").info("another package's")
"""


def test_messages_are_lines_on_standard_output() -> None:
    command = [sys.executable, "-c", SPEAKER]
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "said 1 times\nMLflow could not be written\n"
    assert done.stderr == ""
