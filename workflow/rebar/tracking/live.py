"""Points of a training job on an MLflow server while it runs, sent by a process of its own.

The process reads `metrics.jsonl` as it grows. Nothing that the server does or fails to do reaches
the training: what could not be sent is sent later, by the next look, the resumed job or the import.
The run's key lies beside the checkpoints, so that a job that was requeued goes on in its run.
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
from rebar.tracking import ui
from rebar.tracking.runs import METRICS, read_points

RUN_FILE = "mlflow_run.json"
SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_AT_END = 60  # for what is still to be sent; the job waits as long
LOOKS_AT_END = 3
FOR_THE_JOB = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


@contextlib.contextmanager
def follow(job: Job) -> Iterator[None]:
    """While the block trains, send its points to the server, if there is one."""
    if job.stage not in grid.TRAINING_STAGES or not ui.is_server():
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
            follower.stdin.close()  # also what a killed job does: the sign to end
        try:
            follower.wait(SECONDS_AT_END)
        except subprocess.TimeoutExpired:
            follower.kill()


def _start(root: Path) -> subprocess.Popen[str]:
    """The process that sends, deaf from its start to the signals that are meant for the job."""
    command = [sys.executable, "-m", "rebar.tracking.live", str(root)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_JOB)  # inherited by what starts now
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
        fcntl.flock(lock, fcntl.LOCK_EX)  # an earlier job's last points may still be on their way
        send_until(job, stamps, _is_closed)


def _is_closed() -> bool:
    """Wait for the next look; True if there will be none but the last."""
    seconds = SECONDS_BETWEEN_LOOKS * random.uniform(0.5, 1.5)
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    if readable:
        signal.alarm(SECONDS_AT_END)  # ends this process, however long the server takes
    return bool(readable)


def send_until(job: Job, stamps: list[Any], is_over: Callable[[], bool]) -> None:
    """Look again and again, a last time when `is_over`; one warning if the server fails.

    `stamps` are those of the metrics files before the job began.
    """
    from rebar.tracking import store

    live = [Live(*each) for each in zip(trainings(job), stamps, strict=True)]
    is_warned = False
    for is_last in _looks(is_over):
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


def _looks(is_over: Callable[[], bool]) -> Iterator[bool]:
    """False for each look while the job runs; then True, a few times if that fails."""
    while not is_over():
        yield False
    for _ in range(LOOKS_AT_END):
        yield True
        time.sleep(random.uniform(0.5, 2))  # not all jobs of an array at once


class Followed(NamedTuple):
    """One training of a job: what it depends on, where it writes."""

    spec: dict[str, Any]
    path: str  # of the finished folder, below the root
    folder: Path
    checkpoints: Path

    @property
    def stamp(self) -> list[int]:
        """Changes when the metrics file does."""
        file = self.checkpoints / METRICS
        state = file.stat() if file.exists() else None
        return [state.st_mtime_ns, state.st_size] if state else []


def trainings(job: Job) -> list[Followed]:
    """The job's own, or one for each attacked model, which is an item of the job."""
    path = grid.folder(job.stage, **job.wildcards)
    items = {"attack": (job.attack_item, "attacks"), "search": (job.search_item, "searches")}
    if job.stage not in items:
        return [Followed(job.spec, str(path), job.folder, job.checkpoints)]
    spec_of, kind = items[job.stage]
    return [
        Followed(spec_of(x), str(path / x), job.folder / x, job.checkpoints / x)
        for x in job.settings[kind]
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
        """Send what is new; the last time, also say how it ended."""
        if self.points is None and self.training.stamp == self.before:
            return  # not begun; a file that is there is of an earlier job
        points = self.points or self._run(store, store.open_experiment(name))
        self.points = None  # until all is well: after a failure, what is there is asked again
        points.add(read_points(self.training.checkpoints / METRICS), round(1000 * time.time()))
        if is_last:
            status = "FINISHED" if self._is_finished() else "KILLED"
            points.client.set_terminated(points.run_id, status)
        self.points = points

    def _run(self, store: Any, experiment: Any) -> Any:
        """The run of this training: the one that an earlier try or job began, or a new one."""
        key = self._key()
        run_id = store.resume_run(experiment, key)
        is_new = run_id is None
        if is_new:
            spec, path = self.training.spec, self.training.path
            run_id = store.begin_run(experiment, path, spec, {store.KEY_TAG: key})
        store.log_params(experiment, run_id, self.training.spec)
        return store.Points(experiment, run_id, is_new=is_new)

    def _key(self) -> str:
        """A name for the run, written down before the run is begun."""
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
