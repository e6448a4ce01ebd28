"""What happened to a submitted job, start by start, written by the job itself.

SLURM starts a job again after a requeue, a preemption or the loss of its node, and without an
accounting database it does not say which. The job's own notes do: a start that noted nothing before
the next start was lost with its node.
"""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path

START, TIMEOUT, PREEMPTED, TERMINATED, END = "start", "timeout", "preempted", "terminated", "end"


class History:
    """The events of one submitted job, in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        """Read what earlier starts noted."""
        self._path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # A node that goes down may tear the last line.
        self.events = [json.loads(line)["event"] for line in text.splitlines() if line[-1:] == "}"]

    def note(self, event: str) -> None:
        """Append an event; it is on the disk when this returns."""
        self.events.append(event)
        record = {"event": event, "time": time.time(), "node": os.uname().nodename}
        with self._path.open("a", encoding="utf-8") as file:
            # A torn line of an earlier start must not swallow this one.
            file.write(("" if self._ends_line() else "\n") + json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def starts(self) -> int:
        """How often the job was started."""
        return self.events.count(START)

    @property
    def timeouts(self) -> int:
        """How often it ran out of time."""
        return self.events.count(TIMEOUT)

    @property
    def losses(self) -> int:
        """How often it was lost without a word, before its latest start."""
        return sum(pair == (START, START) for pair in pairwise(self.events))

    def _ends_line(self) -> bool:
        data = self._path.read_bytes()
        return not data or data.endswith(b"\n")
