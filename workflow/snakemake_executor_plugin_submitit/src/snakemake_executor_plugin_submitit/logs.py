"""Where logs are stored, and for how long.

`<folder>/<run>/<number>/` holds the logs of a submission; `<folder>/logs/` links to each log by
rule and wildcards.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Collection
from pathlib import Path

_RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")


def new_run() -> str:
    """A name for this driver's run: it sorts by time and is unique over all projects."""
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}"


def link_log(folder: Path, rule: str, wildcards: str, log: Path) -> Path:
    """Link `logs/<rule>/<wildcards>.log` to a job's log, which need not exist yet."""
    path = folder / "logs" / rule / f"{wildcards[:200] or 'job'}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.symlink_to(os.path.relpath(log, path.parent))
    new.replace(path)
    return path


def remove_old_runs(folder: Path, days: int, kept: Collection[str]) -> None:
    """Delete runs older than `days`, except `kept`, and links to their logs; 0 keeps all."""
    if not days or not folder.exists():
        return
    oldest = time.time() - days * 86400
    for path in folder.iterdir():
        is_old = path.is_dir() and path.stat().st_mtime < oldest
        if is_old and path.name not in kept and _RUN.fullmatch(path.name):
            shutil.rmtree(path)
    for path in (folder / "logs").glob("*/*.log"):
        if not path.exists():
            path.unlink()
