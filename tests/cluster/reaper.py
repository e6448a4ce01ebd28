"""`python reaper.py slurmd -D ...`: run a daemon and wait for everything it leaves behind.

SLURM's step daemons detach from the node daemon. In a container whose first process waits for
nobody they would stay as zombies, so this process adopts and reaps them. SIGTERM ends the daemon
and then kills what it left; SIGUSR1 kills the daemon alone, as the loss of a node does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # the kernel sends this signal when the parent dies
_PR_SET_CHILD_SUBREAPER = 36  # orphans among the descendants become children of this process


def main(command: list[str]) -> None:
    """Start the daemon and reap until no child is left."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    daemon = subprocess.Popen(command)
    is_stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal is_stopping
        is_stopping = True
        for child in _children():
            os.kill(child, signal.SIGTERM if child == daemon.pid else signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR1, lambda number, frame: os.kill(daemon.pid, signal.SIGKILL))
    while _reap():
        if is_stopping and daemon.pid not in _children():
            for child in _children():
                os.kill(child, signal.SIGKILL)


def _reap() -> bool:
    """Wait for one child; False when there is none."""
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    own = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]


if __name__ == "__main__":
    main(sys.argv[1:])
