"""MLflow's pages of this project's runs: the server that `make ui` starts."""

import errno
import logging
import socket
import subprocess
import sys

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.tracking.links import HOST, log_links, server_address, warn_no_links
from pipeline.tracking.moved_store import artifacts_uri
from pipeline.tracking.store import get_client, local_database, store_uri

logger = logging.getLogger(__name__)


def serve(paths: Paths, port: int) -> None:
    """Serve the store until Ctrl-C, and say where its pages of this folder's studies are.

    Where the store is a server already, it only says that. Raises UserError if no browser can show
    the store, or the port is taken.
    """
    uri = store_uri(paths)
    if uri.startswith("databricks"):
        raise UserError(
            f"MLFLOW_TRACKING_URI names a server, {uri}: open its pages in a browser, or unset it "
            "to see this folder's own runs"
        )
    if address := server_address(paths):
        logger.info("MLflow is on %s", address)
        log_all_links(paths, address)
        return
    require_free_port(port)
    address = f"http://{HOST}:{port}"
    log_all_links(paths, address)
    logger.info("MLflow starts on %s, which takes some seconds; Ctrl-C ends it", address)
    options = ["--host", HOST, "--port", str(port)]
    if database := local_database(uri):
        # An experiment that is made in the browser is then usable without this server, too.
        options += ["--default-artifact-root", artifacts_uri(database), "--no-serve-artifacts"]
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, *options]
    status = subprocess.run(command, cwd=paths.root).returncode
    if status:
        raise UserError(f"mlflow ended with status {status}; see above")


def log_all_links(paths: Paths, address: str) -> None:
    """Say where the study is shown, and those beside it, such as the demo.

    Raises UserError if the store is another MLflow's. One that is locked or away costs the links.
    """
    try:
        # A new store is made whole here, before a server and trainings may race for it.
        client = get_client(paths)
    except UserError:
        raise
    except Exception as error:
        warn_no_links(error)
        return
    for params in (paths.params, *sorted(paths.root.glob(".*/params.yaml"))):
        log_links(Paths(params.parent), address, client)


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
