"""Where the MLflow store lies; nothing here imports mlflow.

`MLFLOW_TRACKING_URI` names it, a database or a server; without it, it is `mlflow.db` in the root.
"""

from __future__ import annotations

import os
import re

SQLITE = "sqlite:///"


def store_address() -> str:
    """The store's address, with user name and password if it has them: never print it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"


def shown_address() -> str:
    """The store's address without user name and password."""
    return re.sub(r"//[^/@]*@", "//", store_address())


def is_server() -> bool:
    """True if the store is reached over HTTP, by many processes at once."""
    return store_address().startswith(("http://", "https://"))
