"""Snakemake's lock after a `kill -9`: removed when its owner is dead, and only then.

Snakemake leaves `.snakemake/locks` behind when it is killed and refuses the next run. The running
driver is noted in `.snakemake/owner.json` (host, process, start time), so that the next one can
tell a dead owner from a live one, also when process numbers were used again.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

STATE = Path(".snakemake")


def note_owner(*, force: bool = False) -> None:
    """Note this process as the owner, unless a live one is noted (`force`: even then)."""
    if not force and _owner_is_alive():
        return
    import psutil

    STATE.mkdir(exist_ok=True)
    me = psutil.Process()
    note = {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time()}
    temporary = STATE / f"owner.{os.getpid()}"
    temporary.write_text(json.dumps(note), encoding="utf-8")
    os.replace(temporary, STATE / "owner.json")


def remove_dead_lock() -> None:
    """Remove locks of a dead owner and say so; then note this process as the owner."""
    locks = sorted((STATE / "locks").glob("*.lock")) if (STATE / "locks").is_dir() else []
    if locks and not _owner_is_alive():
        for lock in locks:
            lock.unlink(missing_ok=True)
        print("Removed the lock of a Snakemake run that was killed.", file=sys.stderr)
    note_owner()


def _owner_is_alive() -> bool:
    """True if the noted owner runs, or runs on another host where we cannot look."""
    path = STATE / "owner.json"
    if not path.exists():
        return False
    note = json.loads(path.read_text(encoding="utf-8"))
    if note["host"] != socket.gethostname():
        return True
    import psutil

    try:
        return abs(psutil.Process(note["pid"]).create_time() - note["started"]) < 1.0
    except psutil.NoSuchProcess:
        return False
