"""Compile once: of two trainings that start together, the second finds the kernels of the first.

`torch.compile` keeps its kernels in a cache on disk. Trainings of one grid mostly have the same
shapes, so that the first to compile serves all; two that compile at the same time do it twice.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rebar.training import distributed

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def compile_alone() -> Iterator[None]:
    """Hold this machine's lock of the kernel cache during the block, the first compiled step.

    Does nothing without a cache folder, and in a training of several processes: each of them waits
    for the others in its first step, so that one that also waited for their lock would wait for
    ever. The system releases the lock when a process ends, however it ends.
    """
    if CACHE_VARIABLE not in os.environ or distributed.num_processes() > 1:
        yield
        return
    folder = Path(os.environ[CACHE_VARIABLE])
    folder.mkdir(parents=True, exist_ok=True)
    # A lock for each machine: nodes that share the folder may be of different kinds.
    with (folder / f"compiling-{socket.gethostname()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
