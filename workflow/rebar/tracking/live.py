"""Points of a running training on an MLflow server, sent by a separate process.

The process reads `metrics.jsonl` while it grows. The server cannot disturb the training: points
that could not be sent are sent by the next try, the resumed job or the import. The run's key is
stored beside the checkpoints, so a requeued job continues its run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import random
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rebar import grid
from rebar.jobs.job import Job
from rebar.jobs.manifest import fingerprint, load_manifest, write_text
from rebar.tracking.address import is_server
from rebar.tracking.runs import METRICS, read_points

RUN_FILE = "mlflow_run.json"
SECONDS_BETWEEN_TRIES = 5.0
SECONDS_AT_END = 60  # to send what is left; the job waits as long
TRIES_AT_END = 3
FOR_THE_JOB = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


@contextlib.contextmanager
def follow(job: Job) -> Iterator[None]:
    """Send the points of the training in this block to the MLflow server, if there is one."""
    if job.stage not in grid.TRAINING_STAGES or not is_server():
        yield
        return
    follower = _start(job.root)
    assert follower.stdin is not None
    try:
        with contextlib.suppress(OSError):
            print(json.dumps([job.identity, _stamps(job)]), file=follower.stdin, flush=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            follower.stdin.close()  # tells the process to end; a killed job closes it too
        try:
            follower.wait(SECONDS_AT_END)
        except subprocess.TimeoutExpired:
            follower.kill()


def _start(root: Path) -> subprocess.Popen[str]:
    """Start the process that sends; it ignores signals that are meant for the job."""
    command = [sys.executable, "-m", "rebar.tracking.live", str(root)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_JOB)  # the new process inherits it
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main() -> None:
    """Follow the job in the first line of stdin until stdin is closed."""
    text, stamps = json.loads(sys.stdin.readline())
    job = Job.from_json(text, Path(sys.argv[1]))
    path = job.root / grid.lock_file(f"following {job.stage}", job.wildcards)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # an earlier job may still be sending its last points
        send_until(job, stamps, _is_closed)


def _is_closed() -> bool:
    """Wait until the next try; True if the job has ended, so that only the last try follows."""
    seconds = SECONDS_BETWEEN_TRIES * random.uniform(0.5, 1.5)
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    if readable:
        signal.alarm(SECONDS_AT_END)  # then this process ends, even if the server hangs
    return bool(readable)


def send_until(job: Job, stamps: list[Any], is_over: Callable[[], bool]) -> None:
    """Send new points repeatedly, a last time when `is_over`; warn once if the server fails.

    `stamps` are the states of the metrics files before the job began.
    """
    from rebar.tracking import store

    live = [Live(*each) for each in zip(trainings(job), stamps, strict=True)]
    is_warned = False
    for is_last in _tries(is_over):
        try:
            for training in live:
                training.send(store, job.root.name, is_last)
        except store.FAILURES as error:
            if not is_warned:
                store.warn(error)
            is_warned = True
        else:
            if is_last:
                return


def _tries(is_over: Callable[[], bool]) -> Iterator[bool]:
    """Yield False for each try while the job runs; then True, repeated while the try fails."""
    while not is_over():
        yield False
    for _ in range(TRIES_AT_END):
        yield True
        time.sleep(random.uniform(0.5, 2))  # so that the jobs of an array do not all try at once


class Followed(NamedTuple):
    """One training of a job: its settings, and where it writes."""

    spec: dict[str, Any]
    path: str  # of the finished folder, relative to the root
    folder: Path
    checkpoints: Path

    @property
    def stamp(self) -> list[int]:
        """Time and size of the metrics file: changes when the file does."""
        file = self.checkpoints / METRICS
        state = file.stat() if file.exists() else None
        return [state.st_mtime_ns, state.st_size] if state else []


def trainings(job: Job) -> list[Followed]:
    """The job's own training, or one for each of its attacked models."""
    path = grid.folder(job.stage, **job.wildcards)
    section = grid.STAGES[job.stage].trained_items
    if not section:
        return [Followed(job.spec, str(path), job.folder, job.checkpoints)]
    return [
        Followed(job.item_spec(x), str(path / x), job.folder / x, job.checkpoints / x)
        for x in job.settings[section]
    ]


def _stamps(job: Job) -> list[list[int]]:
    return [training.stamp for training in trainings(job)]


class Live:
    """One training, and the run that its points go to."""

    def __init__(self, training: Followed, before: list[int]) -> None:
        self.training = training
        self.before = before
        self.points: Any = None

    def send(self, store: Any, name: str, is_last: bool) -> None:
        """Send new points; the last time, also set how the run ended."""
        if self.points is None and self.training.stamp == self.before:
            return  # not begun: an existing file belongs to an earlier job
        points = self.points or self._run(store, store.open_experiment(name))
        self.points = None  # after a failure, the next try asks the server what it has
        points.add(read_points(self.training.checkpoints / METRICS), round(1000 * time.time()))
        if is_last:
            status = "FINISHED" if self._is_finished() else "KILLED"
            points.client.set_terminated(points.run_id, status)
        self.points = points

    def _run(self, store: Any, experiment: Any) -> Any:
        """The points of this training's run, which an earlier try or job began, or a new run."""
        key = self._key()
        run_id = store.resume_run(experiment, key)
        is_new = run_id is None
        if is_new:
            spec, path = self.training.spec, self.training.path
            run_id = store.begin_run(experiment, path, spec, {store.KEY_TAG: key})
        store.log_params(experiment, run_id, self.training.spec)
        return store.Points(experiment, run_id, is_new=is_new)

    def _key(self) -> str:
        """A key for the run, stored on disk before the run is created."""
        file = self.training.checkpoints / RUN_FILE
        spec = fingerprint(self.training.spec)
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if found.get("spec") != spec:
            found = {"spec": spec, "run": uuid.uuid4().hex}
            write_text(file, json.dumps(found) + "\n")
        return found["run"]

    def _is_finished(self) -> bool:
        try:
            return load_manifest(self.training.folder)["spec"] == self.training.spec
        except ValueError:
            return False


if __name__ == "__main__":
    main()
