"""What a stage tells the world: metrics over steps in a file, progress with rate and ETA on screen.

Files are the truth; MLflow imports `metrics.jsonl` later, so that tracking never slows training.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 5.0


class Recorder:
    """Writes `metrics.jsonl` (deterministic numbers only) and prints progress lines."""

    def __init__(
        self, folder: Path, label: str, stream: TextIO = sys.stderr, identity: str = ""
    ) -> None:
        """`folder` exists; `label` is the job in words, like `pretrain 11/raw`.

        `identity` is what the run depends on besides settings and data: only a run of the same
        identity goes on where one in this folder stopped.
        """
        self.folder = folder
        self.identity = identity
        self.path = folder / "metrics.jsonl"
        self.costs_path = folder / "costs.json"
        self.label = label
        self.stream = stream
        # Shown steps done and model after each step of a fine-tuning.
        self.watch: Callable[[int, Any], None] | None = None
        self.facts: dict[str, Any] = {}  # what the manifest should say beside its counts
        self._started: tuple[float, int] | None = None
        self._printed = 0.0

    def mute(self) -> None:
        """Tell nothing from now on: another process of the same run does."""
        self.path, self.stream = Path(os.devnull), io.StringIO()

    def log(self, step: int, **numbers: float) -> None:
        """Append one line; times do not belong here (costs.json)."""
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
        """Copy the written files beside the outputs of the finished job.

        The checkpoints keep theirs: a finished run that is made again ends with the same files.
        """
        for path in (self.path, self.costs_path):
            if path.exists():
                shutil.copyfile(path, folder / path.name)

    def truncate(self, step: int) -> None:
        """Drop lines after `step`: a resumed run writes them again."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step]
        self.path.write_text("".join(kept), encoding="utf-8")

    def progress(self, done: int, total: int, unit: str) -> None:
        """Print `label done/total unit, rate, ETA`, at most one line in 5 seconds, and the last."""
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
