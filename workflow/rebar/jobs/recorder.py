"""What a job reports while it runs: metrics in a file, progress with rate and ETA on the screen.

The files are the record. MLflow imports `metrics.jsonl` later, so tracking never slows a training.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

SECONDS_BETWEEN_LINES = 5.0


class Recorder:
    """Writes `metrics.jsonl` (deterministic numbers only) and prints progress lines."""

    def __init__(self, folder: Path, label: str, stream: TextIO = sys.stderr) -> None:
        """`folder` exists already; `label` names the job, like `pretrain 11/raw`."""
        self.path = folder / "metrics.jsonl"
        self.costs_path = folder / "costs.json"
        self.label = label
        self.stream = stream
        self._started: tuple[float, int] | None = None
        self._printed = 0.0

    def mute(self) -> None:
        """Write and print nothing from now on: another process of the run does."""
        self.path, self.stream = Path(os.devnull), io.StringIO()

    def log(self, step: int, **numbers: float) -> None:
        """Append the numbers of one step; times belong into `costs.json`, not here."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")

    def add_costs(self, **seconds: float) -> None:
        """Add times to `costs.json`, the one file that differs from run to run."""
        exists = self.costs_path.exists()
        costs = json.loads(self.costs_path.read_text(encoding="utf-8")) if exists else {}
        for name, value in seconds.items():
            costs[name] = round(costs.get(name, 0.0) + value, 2)
        self.costs_path.write_text(json.dumps(costs, sort_keys=True) + "\n", encoding="utf-8")

    def copy_to(self, folder: Path) -> None:
        """Copy metrics and costs into the folder of the job's outputs.

        The originals stay beside the checkpoints, so that a run that is repeated from its last
        checkpoint ends with the same files.
        """
        for path in (self.path, self.costs_path):
            if path.exists():
                shutil.copyfile(path, folder / path.name)

    def truncate(self, step: int) -> None:
        """Delete the lines after `step`, which a resumed run writes again."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step]
        self.path.write_text("".join(kept), encoding="utf-8")

    def progress(self, done: int, total: int, unit: str) -> None:
        """Print done, total, rate and ETA: one line in 5 seconds at most, and always the last."""
        now = time.monotonic()
        if self._started is None:
            self._started = (now, done)
        if done < total and now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        seconds = now - self._started[0]
        rate = (done - self._started[1]) / seconds if seconds > 0 else 0.0
        eta = f"ETA {(total - done) / rate:.0f} s" if rate > 0 else "ETA unknown"
        line = f"{self.label}: {done}/{total} {unit}, {rate:.1f} {unit}/s, {eta}"
        print(line, file=self.stream, flush=True)
        if done >= total:
            self._started = None

    def say(self, sentence: str) -> None:
        """Print one sentence about this job."""
        print(f"{self.label}: {sentence}", file=self.stream, flush=True)
