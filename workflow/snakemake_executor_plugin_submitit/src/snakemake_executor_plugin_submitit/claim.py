"""Claims: which run may work on a job, so that a job never runs twice at once.

SLURM or the driver may believe that a job is dead while it still runs. Each target (what a job
        makes) has a folder with three files:
- `token` names the submission that may run the target; the driver writes it.
- `start` names the process that runs the target now; that process writes it. An older process that
  finds another name there ends itself: its node was given up as lost, but it lives.
- `lock` is held by the process and its command as long as they live; a new process waits for it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

LOCK_SECONDS = 600  # waiting time; an older run ends within seconds when it has been replaced

# Errors of file systems without locks (Lustre without `flock`, some NFS).
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class ClaimLost(RuntimeError):
    """Another run has taken the job over; this run must end and leave no result."""


class ClaimOccupied(RuntimeError):
    """An older run of the job does not end."""


def folder_of(base: Path, target: str) -> Path:
    """The claim folder of a target."""
    return base / "claims" / hashlib.sha256(target.encode()).hexdigest()[:24]


def grant(folder: Path, token: str) -> None:
    """Allow this submission, and no other one, to run the target."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "token", token)


def revoke(folder: Path) -> None:
    """Allow nobody to run the target."""
    (folder / "token").unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove the claim of a job that has succeeded."""
    revoke(folder)
    # The job that is ending may still hold the lock file; NFS then keeps the folder. No harm.
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def hold(folders: list[Path], token: str, start: str) -> Iterator[list[int]]:
    """Hold the claims of targets while working on them.

    Yields the file descriptors of the locks; the child process that works must inherit them.

    Raises:
        ClaimLost: another submission or a later start may run a target.
        ClaimOccupied: an older run does not end.
    """
    # A fixed order, so that two groups with common members cannot wait for each other.
    folders = sorted(folders)
    _check_token(folders, token)
    for folder in folders:
        _write(folder / "start", start)
    with ExitStack() as stack:
        locks = [stack.enter_context((folder / "lock").open("a")).fileno() for folder in folders]
        end = time.monotonic() + LOCK_SECONDS
        for folder, lock in zip(folders, locks, strict=True):
            _lock(lock, folder, end)
        check(folders, token, start)
        yield locks


def check(folders: list[Path], token: str, start: str) -> None:
    """Raise ClaimLost if another run has taken over a target."""
    _check_token(folders, token)
    for folder in folders:
        if _read(folder / "start") != start:
            raise ClaimLost(f"a later start of this job has replaced {start}")


def _check_token(folders: list[Path], token: str) -> None:
    for folder in folders:
        current = _read(folder / "token")
        if current != token:
            raise ClaimLost(f"submission {token} was replaced by {current or 'none (cancelled)'}")


def _lock(lock: int, folder: Path, end: float) -> None:
    """Wait for the lock until the monotonic clock reaches `end`."""
    has_printed = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise ClaimOccupied(
                    f"an older run still works on this job after {LOCK_SECONDS} s; if you are "
                    f"sure that it is dead, delete {folder}"
                ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            print(
                f"{folder}: no locks on this file system; continuing without, because an older "
                "run ends by itself",
                flush=True,
            )
            return
        if not has_printed:
            print("an older run still works on this job; waiting until it ends", flush=True)
            has_printed = True
        time.sleep(0.5)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole, so that readers on other nodes see the old or the new text."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
