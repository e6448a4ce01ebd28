"""Which GPUs a job may use: as many as it asked for, none that another job of this machine has.

On SLURM the scheduler has chosen. Elsewhere jobs share the machine's GPUs out among themselves, by
locks that the system releases when a process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 1.0


@contextmanager
def take_gpus(wanted: int | None, label: str) -> Iterator[None]:
    """Set CUDA_VISIBLE_DEVICES for this process before torch looks; waits for GPUs in use.

    None leaves the process as it is. A job that asked for none sees none. Where a machine has
    fewer than the job asked for, it takes those that there are, or goes on the CPU, and says so.
    """
    if wanted == 0:
        os.environ[VISIBLE] = ""
    if not wanted or "SLURM_JOB_ID" in os.environ:
        yield
        return
    there = _devices()
    if len(there) < wanted:
        where = f"on {len(there)}" if there else "on the CPU"
        print(f"{label}: asked for {wanted} GPUs, this machine offers {len(there)}: {where}")
    taken = _take(there, min(wanted, len(there)))
    os.environ[VISIBLE] = ",".join(taken)
    try:
        yield
    finally:
        for file in taken.values():
            file.close()


def _devices() -> list[str]:
    """GPUs that this process may use: of CUDA_VISIBLE_DEVICES, else all of the machine."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def _take(devices: list[str], number: int) -> dict[str, TextIO]:
    """Lock so many, all or none at a time: two jobs that each hold half would wait for ever."""
    while True:
        held: dict[str, TextIO] = {}
        for device in devices:
            if len(held) < number and (file := _lock(device)):
                held[device] = file
        if len(held) == number:
            return held
        for file in held.values():
            file.close()
        time.sleep(POLL_SECONDS)


def _lock(device: str) -> TextIO | None:
    """The open lock file, None while another job has the GPU."""
    file = (Path(tempfile.gettempdir()) / f"rebar-gpu-{os.getuid()}-{device}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
