"""MLflow's pages of this project's runs: the server that `make ui` starts."""

import errno
import logging
import socket
import subprocess
import sys

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.tracking.client import get_client, store_uri

HOST = "127.0.0.1"
logger = logging.getLogger(__name__)


def serve(paths: Paths, port: int) -> None:
    """Serve the store until Ctrl-C. UserError if it is a server already, or the port is taken."""
    uri = store_uri(paths)
    if uri.startswith(("http:", "https:", "databricks")):
        raise UserError(
            f"MLFLOW_TRACKING_URI names a server, {uri}: open that in a browser, or unset it to "
            "see this folder's own runs"
        )
    require_free_port(port)
    # A new store is made whole before a server and trainings may race for it.
    get_client(paths)
    logger.info("MLflow is on http://%s:%d; Ctrl-C ends it", HOST, port)
    address = ("--host", HOST, "--port", str(port))
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, *address]
    status = subprocess.run(command, cwd=paths.root).returncode
    if status:
        raise UserError(f"mlflow ended with status {status}; see above")


def require_free_port(port: int) -> None:
    """Raise UserError unless a server may listen there."""
    with socket.socket() as tried:
        # Connections of a server that just ended linger for a minute, and hinder nobody.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            what = "is taken, perhaps by another MLflow" if taken else f"cannot be used: {error}"
            raise UserError(
                f"port {port} of {HOST} {what}; choose another with "
                f"`make ui PORT={port % 65535 + 1}` or MLFLOW_PORT"
            ) from None
