"""The job's command on the node, and the process that watches it.

submitit calls a `Command`. It passes the checkpoint signal on, requeues the job if the command
stopped because of the signal, and makes sure that the command never runs twice at once (see
`claim`). This module uses nothing of Snakemake.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from snakemake_executor_plugin_submitit import claim
from snakemake_executor_plugin_submitit.history import (
    END,
    PREEMPTED,
    START,
    TERMINATED,
    TIMEOUT,
    History,
)

CHECK_SECONDS = 5  # how soon a run notices that a later one has replaced it
# The signal may come this early: SLURM looks for jobs near their end twice a minute, and a job
# needs a moment to start.
_EARLY_SECONDS = 45
_REQUEUE_TRIES = 5
_TERM_SECONDS = 0.5  # SIGTERM may reach the command before it reaches this process
# This process may be killed before it can end the command (submitit's `local` gives it one second).
# The command's group then ends itself, because the other end of its standard input is closed.
_END_WITH_PARENT = "exec {pipe}<&0 </dev/null; (read -u $pipe; kill -KILL 0) & exec {pipe}<&-"


class JobFailed(RuntimeError):
    """The job has ended without success; the message says why."""


@dataclass(frozen=True)
class Command:
    """A shell command and the conditions under which it runs; submitit pickles it.

    Attributes:
        shell: the command line, for bash.
        name: the job's name in messages.
        token: name of the submission, see `claim`.
        claims: claim folders of all targets that the command makes.
        minutes: time limit.
        signal_seconds: seconds from the checkpoint signal to the end of the time.
        max_requeues: how often the command may run out of time and be continued.
        max_losses: how often it may be lost with its node and be started again.
        is_debug: run in the driver's process: no signals, output on the terminal.
        is_slurm: SLURM signals all processes of a job; elsewhere the signal is passed on.
    """

    shell: str
    name: str
    token: str
    claims: tuple[Path, ...]
    minutes: int
    signal_seconds: int
    max_requeues: int
    max_losses: int
    is_debug: bool
    is_slurm: bool

    def __call__(self) -> str:
        """Run the command until it ends.

        Raises:
            JobFailed: the command failed, or may not run again.
            SystemExit: it was requeued, or another run has taken it over; there is no result.
        """
        if self.is_debug:
            self._check_status(subprocess.call(["bash", "-c", self.shell]))
            return self.name
        history = _history()
        history.note(START)
        self._check_losses(history)
        start = f"{_job_id()} start {history.starts}"
        try:
            with claim.hold(list(self.claims), self.token, start) as locks, _Signals() as signals:
                status = self._run(history, start, locks, signals)
                history.note(END)
        except claim.ClaimLost as error:
            # submitit must not see an error: it would store it as the result, and the later start
            # of the same submission, which is still working, would count as failed.
            sys.exit(f"{self.name}: {error}")
        except claim.ClaimOccupied as error:
            history.note(END)
            raise JobFailed(f"{self.name}: {error}") from None
        self._check_status(status)
        return self.name

    def checkpoint(self):
        """What submitit runs after a requeue: the same command; its progress is on the disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _run(self, history: History, start: str, locks: list[int], signals: _Signals) -> int:
        """Start the command, wait until its last process has ended, and return its exit status."""
        # bash and the inner Snakemake ignore the checkpoint signal, and so does what they start
        # unless it installs a handler of its own.
        process = subprocess.Popen(
            ["bash", "-c", f"trap '' USR2\n{_END_WITH_PARENT}\n{self.shell}"],
            stdin=subprocess.PIPE,
            env=_child_environment(),
            process_group=0,
            pass_fds=locks,
        )
        try:
            is_requeued = self._watch(process, history, start, signals)
        finally:
            _end_group(process)
        if process.returncode != 0 and is_requeued:
            signals.requeue()
        if process.returncode != 0 and self.is_slurm:
            self._leave_if_terminated(history, signals)
        return process.returncode

    def _leave_if_terminated(self, history: History, signals: _Signals) -> None:
        """Exit without a result after SIGTERM, which SLURM sends to cancel, preempt or requeue.

        Only SLURM knows whether the job starts again, and the driver asks it. A stored failure
        would end a job that was merely preempted.
        """
        time.sleep(_TERM_SECONDS)
        self._note_termination(history, signals)
        if history.events[-1] == TERMINATED:
            sys.exit(f"{self.name}: ended by SLURM")

    def _note_termination(self, history: History, signals: _Signals) -> None:
        if signals.take(signal.SIGTERM):
            history.note(TERMINATED)

    def _watch(
        self, process: subprocess.Popen, history: History, start: str, signals: _Signals
    ) -> bool:
        """Wait until the command ends; return whether it was told to save and stop."""
        give_up = float("inf")
        began = time.monotonic()
        while process.poll() is None and time.monotonic() < give_up:
            signals.wait(CHECK_SECONDS)
            claim.check(list(self.claims), self.token, start)
            self._note_termination(history, signals)
            if signals.take(signal.SIGUSR2) and give_up == float("inf"):
                give_up = time.monotonic() + max(5, self.signal_seconds - 15)
                self._note_signal(history, time.monotonic() - began)
                if not self.is_slurm:
                    _signal_group(process, signal.SIGUSR2)
        return give_up < float("inf")

    def _note_signal(self, history: History, seconds: float) -> None:
        limit = self.minutes * 60 - self.signal_seconds - _EARLY_SECONDS
        history.note(TIMEOUT if seconds >= limit else PREEMPTED)
        print(f"{self.name}: signal to save and stop ({history.events[-1]})", flush=True)
        if history.timeouts > self.max_requeues:
            history.note(END)
            raise JobFailed(
                f"{self.name}: its {self.minutes} minutes ran out {history.timeouts} times; "
                f"--submitit-max-requeues allows {self.max_requeues}"
            )

    def _check_losses(self, history: History) -> None:
        if history.losses > self.max_losses:
            history.note(END)
            raise JobFailed(
                f"{self.name}: lost with its node {history.losses} times; "
                f"retries allow {self.max_losses}"
            )

    def _check_status(self, status: int) -> None:
        if status < 0:
            raise JobFailed(f"{self.name}: killed by {signal.Signals(-status).name}")
        if status > 0:
            raise JobFailed(f"{self.name}: command ended with exit status {status}")


class _Signals:
    """Makes signals something to wait for; the handlers only record them."""

    WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR2)

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def __enter__(self) -> _Signals:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._note) for number in self.WATCHED}
        return self

    def __exit__(self, *exception: object) -> None:
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            # Once the command is over, a late signal must not requeue it.
            signal.signal(number, signal.SIG_IGN if number == signal.SIGUSR2 else handler)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._seen.add(number)

    def wait(self, seconds: float) -> None:
        """Return after the next signal, or after `seconds`."""
        if select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)

    def take(self, number: int) -> bool:
        """Whether the signal has arrived since the last call."""
        if number not in self._seen:
            return False
        self._seen.discard(number)
        return True

    def requeue(self) -> None:
        """Let submitit store the command again, requeue the job, and exit."""
        handler = self._previous[signal.SIGUSR2]
        assert callable(handler), "submitit installs its handler before it calls the command"
        for remaining in reversed(range(_REQUEUE_TRIES)):
            try:
                handler(signal.SIGUSR2, None)
            except subprocess.SubprocessError as error:
                if not remaining:
                    raise JobFailed(f"the job could not be requeued: {error}") from None
                print(f"the job could not be requeued, trying again: {error}", flush=True)
                time.sleep(5)


def _history() -> History:
    from submitit import JobEnvironment

    environment = JobEnvironment()
    return History(environment.paths.folder / f"{environment.job_id}_history.jsonl")


def _job_id() -> str:
    from submitit import JobEnvironment

    return JobEnvironment().job_id


def _child_environment() -> dict[str, str]:
    """The environment without submitit's variables, because a job may use submitit itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SUBMITIT_")}


def _signal_group(process: subprocess.Popen, number: int) -> bool:
    """Signal all processes of the command; return False if there are none."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _end_group(process: subprocess.Popen) -> None:
    """End what is left of the command: no process of a job may outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt this
    for number, seconds in ((signal.SIGTERM, 0.6), (signal.SIGKILL, 2.0)):
        if _signal_group(process, number):
            _wait_for_group(process, seconds)
    process.wait()


def _wait_for_group(process: subprocess.Popen, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        process.poll()  # a dead group leader is a member until it is waited for
        if not _signal_group(process, 0):
            return
        time.sleep(0.02)
