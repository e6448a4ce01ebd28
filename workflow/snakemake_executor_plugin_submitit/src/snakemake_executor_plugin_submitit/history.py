"""The history of a submitted job, start by start, written by the job itself.

SLURM starts a job again after a requeue, a preemption or the loss of its node, and without an
accounting database it does not tell which. The job's notes do: if a start noted nothing before the
next start, it was lost with its node.
"""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path

START, TIMEOUT, PREEMPTED, TERMINATED, END = "start", "timeout", "preempted", "terminated", "end"


class History:
    """The events of one submitted job, stored as JSON lines."""

    def __init__(self, path: Path) -> None:
        """Read what earlier starts noted."""
        self._path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # A node that goes down may leave the last line incomplete.
        self.events = [json.loads(line)["event"] for line in text.splitlines() if line[-1:] == "}"]

    def note(self, event: str) -> None:
        """Append an event; it is on the disk when this returns."""
        self.events.append(event)
        record = {"event": event, "time": time.time(), "node": os.uname().nodename}
        with self._path.open("a", encoding="utf-8") as file:
            # Begin a new line if an earlier start left an incomplete one.
            file.write(("" if self._ends_line() else "\n") + json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def starts(self) -> int:
        """How often the job was started."""
        return self.events.count(START)

    @property
    def timeouts(self) -> int:
        """How often the job ran out of time."""
        return self.events.count(TIMEOUT)

    @property
    def losses(self) -> int:
        """How often the job was lost with its node, before its latest start."""
        return sum(pair == (START, START) for pair in pairwise(self.events))

    def _ends_line(self) -> bool:
        data = self._path.read_bytes()
        return not data or data.endswith(b"\n")
