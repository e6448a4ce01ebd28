"""SLURM's queue: list and cancel this user's jobs, without an accounting database."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

# States of jobs that SLURM will not start any more. All other states count as alive, also unknown
# ones of later versions, because a job that counts as dead is submitted again.
DEAD = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
     "PREEMPTED", "REVOKED", "SPECIAL_EXIT", "TIMEOUT")
)  # fmt: skip

MAX_BACK_OFF = 16
_TIMEOUT_SECONDS = 60
_IDS_PER_CALL = 200  # the length of a command line is limited

# Parts of SLURM's error messages after which another try may help.
BUSY = (
    "Connection refused",
    "Connection timed out",
    "Resource temporarily unavailable",
    "Socket timed out",
    "Transport endpoint is not connected",
    "Unable to contact slurm controller",
    "Zero Bytes were transmitted",
    "controller not responding",
    "temporarily unable to accept job",
)

# How clients reach the controller: the only SLURM_* variables that a submitted job may inherit.
_INHERITED = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
# Variables that an outer job sets for its own GPUs and tasks.
_OUTER = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


class QueueRow(NamedTuple):
    """A line of squeue; `id` is `12`, or `12_3` for an element of an array."""

    id: str
    state: str
    comment: str

    @property
    def is_alive(self) -> bool:
        """Whether the job may still run, now or later."""
        return self.state not in DEAD

    @property
    def key(self) -> tuple[str, int]:
        """Name of the submission (stored as the job's comment) and index of the element."""
        return self.comment, int(self.id.partition("_")[2] or 0)


class QueueBusy(RuntimeError):
    """The SLURM controller did not answer."""


class Queue:
    """Asks squeue for all jobs at once, at limited intervals that grow while it does not answer."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds` is the shortest time between two calls."""
        self._seconds = seconds
        self._clock = clock
        self._wait = seconds
        self._next = 0.0

    def poll(self) -> dict[tuple[str, int], QueueRow] | None:
        """All jobs of this user by key; None if it is not yet time to ask.

        Raises:
            QueueBusy: no answer; the time until the next call doubles.
        """
        if self._clock() < self._next:
            return None
        try:
            rows = squeue()
        except QueueBusy as error:
            self._wait = min(2 * self._wait, MAX_BACK_OFF * self._seconds)
            self._next = self._clock() + self._wait
            raise QueueBusy(f"{error}; asking again in {self._wait:.0f} s") from None
        self._wait = self._seconds
        self._next = self._clock() + self._wait
        return {row.key: row for row in rows}

    def pauses(self) -> Iterator[float]:
        """Seconds to wait between tries of a call that a busy controller refuses; they double."""
        factor = 1
        while True:
            yield factor * self._seconds
            factor = min(2 * factor, MAX_BACK_OFF)


def squeue() -> list[QueueRow]:
    """All jobs of this user that SLURM remembers; elements of arrays are listed one by one.

    Raises:
        QueueBusy: the controller did not answer.
    """
    command = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%k"]
    result = _call(command)
    if result.returncode:
        raise QueueBusy(f"squeue: {result.stderr.strip()}")
    # Lines of another form are headlines, if there are several clusters.
    lines = [line for line in result.stdout.splitlines() if line.count("|") >= 2]
    return [QueueRow(*line.split("|", 2)) for line in lines]


def scancel(ids: Iterable[str]) -> None:
    """Cancel jobs; jobs that have ended already are no error.

    Raises:
        QueueBusy: the controller did not answer.
    """
    every = list(ids)
    for first in range(0, len(every), _IDS_PER_CALL):
        result = _call(["scancel", "--quiet", *every[first : first + _IDS_PER_CALL]])
        if is_busy(result.stderr):
            raise QueueBusy(f"scancel: {result.stderr.strip()}")


def is_busy(text: str) -> bool:
    """Whether the text contains an error of SLURM that another try may cure."""
    return any(sentence in text for sentence in BUSY)


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=_environment(), capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise QueueBusy(f"{command[0]}: no answer in {_TIMEOUT_SECONDS} s") from None


def _environment() -> dict[str, str]:
    """The environment without variables that change squeue or sbatch or belong to an outer job."""
    is_inside = "SLURM_JOB_ID" in os.environ
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED
        or not (name.startswith(("SLURM_", "SQUEUE_")) or (is_inside and name in _OUTER))
    }


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """A context without the variables of an outer job, because a new job inherits sbatch's."""
    before = dict(os.environ)
    clean = _environment()
    for name in set(before) - set(clean):
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)
