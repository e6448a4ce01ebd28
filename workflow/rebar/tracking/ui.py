"""Where the MLflow store lies, and its UI; nothing here imports mlflow.

`MLFLOW_TRACKING_URI` names it, a database or a server; else it is `mlflow.db` in the root.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"
SQLITE = "sqlite:///"


def address() -> str:
    """The store's address, with user name and password if it has them: never to be printed."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"


def shown() -> str:
    """The store's address without user name and password."""
    return re.sub(r"//[^/@]*@", "//", address())


def is_server() -> bool:
    """True if the store is reached over HTTP, by many processes at once."""
    return address().startswith(("http://", "https://"))


def serve_ui(port: int) -> None:
    """Become the MLflow UI on the store, on loopback only; ValueError if there is nothing to show.

    A server has a UI of its own, whose address is printed.
    """
    if is_server():
        print(f"MLflow: {shown()} is a server; its UI is there")
        return
    file = Path(address().removeprefix(SQLITE))
    if address().startswith(SQLITE) and not file.exists():
        raise ValueError(
            f"{file} is not made yet; `snakemake --profile profiles/local all` makes it, or "
            "MLFLOW_TRACKING_URI names another store"
        )
    _check_port(port)
    print(f"MLflow: http://{LOOPBACK}:{port} shows {shown()} (Ctrl-C ends it)", flush=True)
    os.environ["MLFLOW_BACKEND_STORE_URI"] = address()  # not as an argument: those are public
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    where = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *where])


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"port {port} is not free ({error}); choose one: --port") from None
