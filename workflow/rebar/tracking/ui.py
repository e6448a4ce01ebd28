"""`python -m rebar ui`: MLflow's web page on the project's store; nothing here imports mlflow."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from rebar.tracking.address import SQLITE, is_server, shown_address, store_address

LOOPBACK = "127.0.0.1"


def serve_ui(port: int) -> None:
    """Replace this process by the MLflow UI on the store; it listens on loopback only.

    A server has a UI of its own, whose address is printed instead. ValueError if there is no store
    yet or the port is taken.
    """
    if is_server():
        print(f"MLflow: {shown_address()} is a server; open its UI there")
        return
    file = Path(store_address().removeprefix(SQLITE))
    if store_address().startswith(SQLITE) and not file.exists():
        raise ValueError(
            f"there is no MLflow store {file} yet; make it: `snakemake --profile profiles/local "
            "all`, or name another store in MLFLOW_TRACKING_URI"
        )
    _check_port(port)
    print(f"MLflow: open http://{LOOPBACK}:{port} ({shown_address()}; Ctrl-C stops it)", flush=True)
    # In the environment, because other users can read the arguments of a process.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = store_address()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    where = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *where])


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise ValueError(
                f"port {port} is not free ({error}); choose another: --port NUMBER"
            ) from None
