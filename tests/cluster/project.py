"""A small project in a temporary folder, and the driver that runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
PLUGIN = HERE.parent.parent / "workflow/snakemake_executor_plugin_submitit/src"


class Project:
    """Snakefile and jobs; `drive` runs Snakemake on them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for name in ("Snakefile", "work.py"):
            shutil.copy(HERE / name, folder / name)
        self.environment = environment | {
            "PYTHONPATH": str(PLUGIN),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.num_logs = 0

    def start(self, target: str, *arguments: str, cluster: str = "slurm") -> Driver:
        """Start a driver; the caller waits for it or kills it."""
        self.num_logs += 1
        log = self.folder / f"driver.{self.num_logs}.log"
        command = [
            *("snakemake", "--executor", "submitit", "--submitit-cluster", cluster),
            *("--jobs", "20", "--seconds-between-status-checks", "1", "--rerun-incomplete"),
            *("--submitit-squeue-seconds", "1", "--submitit-gone-seconds", "10"),
            *("--nolock", "--latency-wait", "5", *arguments, "--", target),
        ]
        return start_driver(command, self.folder, self.environment, log)

    def drive(self, target: str, *arguments: str, cluster: str = "slurm") -> Driver:
        """Run a driver to its end."""
        driver = self.start(target, *arguments, cluster=cluster)
        driver.wait()
        return driver

    def read(self, name: str) -> str:
        """A file of the project."""
        return (self.folder / name).read_text(encoding="utf-8")

    def times(self, name: str) -> list[dict]:
        """What a job noted, oldest first."""
        path = self.folder / "times" / f"{name}.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines()]

    def wait_for_step(self, name: str, step: int = 1, pids: int = 1) -> dict:
        """Wait until the job's `pids`-th process has counted so far; its note."""

        def reached() -> dict | None:
            seen = self.times(name)
            order = list(dict.fromkeys(note["pid"] for note in seen))
            for note in seen:
                if note["step"] >= step and order.index(note["pid"]) >= pids - 1:
                    return note
            return None

        return until(reached, 150)  # the first import of Snakemake may take long

    def runs(self, name: str) -> list[list[dict]]:
        """The notes of each process that ran the job, in the order of their beginnings."""
        by_pid: dict[int, list[dict]] = {}
        for note in self.times(name):
            by_pid.setdefault(note["pid"], []).append(note)
        return list(by_pid.values())

    def assert_alone(self) -> None:
        """No job ran twice at once: each process's notes end before the next one's begin."""
        names = [path.stem for path in (self.folder / "times").glob("*.jsonl")]
        assert names, "no job noted anything"
        for name in names:
            runs = self.runs(name)
            for earlier, later in pairwise(runs):
                assert earlier[-1]["time"] <= later[0]["time"], f"{name} overlapped itself"


class Driver:
    """A running Snakemake and what it prints."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float = 200) -> int:
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end after {seconds} s:\n{self.text}") from None

    def kill(self) -> None:
        """`kill -9`, and of the driver alone."""
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)


def start_driver(command: list[str], folder: Path, environment: dict, log: Path) -> Driver:
    """Start Snakemake in a session of its own, as in a terminal."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )
    return Driver(process, log)


def _hear_ctrl_c() -> None:
    """As at a terminal: what a shell starts in the background ignores Ctrl-C, and its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(condition: Callable, seconds: float):
    """Wait for something true and return it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.2)
    return value
