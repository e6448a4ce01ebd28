"""A submitted job as the driver sees it: its result, its log, and whether it is still alive."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import submitit

from snakemake_executor_plugin_submitit.history import History
from snakemake_executor_plugin_submitit.ledger import LedgerEntry
from snakemake_executor_plugin_submitit.queue import QueueRow

RESULT_SECONDS = 5  # on a shared file system a result may appear after the end of its job
_TAIL_LINES = 20
_TAIL_BYTES = 20_000
# submitit's own report of a failure begins with this; the job's output is before it.
_END_OF_JOB = "submitit ERROR"


@dataclass
class Run:
    """A submitted job.

    Attributes:
        handle: submitit's job.
        entry: the job's entry in the ledger.
        name: rule and wildcards.
        state: SLURM's state at the last check.
        dead_since: monotonic time in seconds since when the job has ended without a result.
    """

    handle: submitit.Job[str]
    entry: LedgerEntry
    name: str
    state: str = ""
    dead_since: float | None = None

    @property
    def id(self) -> str:
        """SLURM's job id (`12_3` in an array), or the process's id."""
        return self.handle.job_id

    @property
    def log(self) -> Path:
        """Path of the job's output."""
        return self.handle.paths.stdout

    def error(self) -> str | None:
        """Why the job failed; an empty text if it succeeded, None if there is no result yet."""
        path = self.handle.paths.result_pickle
        try:
            outcome, value = pickle.loads(path.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            return None  # not there, or not yet complete on this node
        return "" if outcome == "success" else _last_sentence(value)

    def death_reason(self, row: QueueRow | None, now: float, gone_seconds: float) -> str | None:
        """Why a result cannot come any more; None while it may.

        Args:
            row: the job in squeue, None if it is not there.
            now: monotonic time in seconds.
            gone_seconds: how long to wait for a job that squeue does not know.
        """
        if row is not None and row.is_alive:
            self.dead_since = None
            return None
        if row is not None:
            return self._reason_after(RESULT_SECONDS, now, f"SLURM says {row.state}")
        return self._reason_after(gone_seconds, now, "SLURM does not know the job any more")

    def end_reason(self, now: float) -> str | None:
        """As `death_reason`, for a process of this machine."""
        if not self.handle.done():
            return None
        return self._reason_after(RESULT_SECONDS, now, "its process ended without a result")

    def losses(self) -> int:
        """How often the job was lost with its node and started again by SLURM."""
        return History(self.log.parent / f"{self.id}_history.jsonl").losses

    def log_tail(self) -> str:
        """The last lines that the job itself wrote."""
        try:
            text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        lines = text.partition(_END_OF_JOB)[0].splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def remove_pickles(self) -> None:
        """Remove the files that only submitit needs; the log stays."""
        self.handle.paths.submitted_pickle.unlink(missing_ok=True)
        self.handle.paths.result_pickle.unlink(missing_ok=True)

    def _reason_after(self, seconds: float, now: float, reason: str) -> str | None:
        if self.dead_since is None:
            self.dead_since = now
        return reason if now - self.dead_since >= seconds else None


def _last_sentence(trace: str) -> str:
    """The last line of a traceback, without the class if it is JobFailed."""
    last = trace.strip().splitlines()[-1]
    return last.partition("JobFailed: ")[2] or last
