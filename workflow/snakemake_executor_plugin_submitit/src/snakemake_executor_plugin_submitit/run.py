"""A submitted job as the driver sees it: its result, its log, whether it is still alive."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import submitit

from snakemake_executor_plugin_submitit.history import History
from snakemake_executor_plugin_submitit.ledger import LedgerEntry
from snakemake_executor_plugin_submitit.queue import QueueRow

RESULT_SECONDS = 5  # a result file may reach the driver later than the end of the job
_TAIL_LINES = 20
_TAIL_BYTES = 20_000
# submitit's own account of the failure follows; what the job said stands before it.
_END_OF_JOB = "submitit ERROR"


@dataclass
class Run:
    """A submitted job.

    Attributes:
        handle: submitit's.
        entry: the ledger's.
        name: rule and wildcards.
        state: SLURM's word at the last look.
        dead_since: monotonic time since when it is known to be over, without a result.
    """

    handle: submitit.Job[str]
    entry: LedgerEntry
    name: str
    state: str = ""
    dead_since: float | None = None

    @property
    def id(self) -> str:
        """SLURM's id (`12_3` in an array), or the process's."""
        return self.handle.job_id

    @property
    def log(self) -> Path:
        """Where the job's output goes."""
        return self.handle.paths.stdout

    def error(self) -> str | None:
        """Why the job failed, empty when it succeeded, None while there is no result."""
        path = self.handle.paths.result_pickle
        try:
            outcome, value = pickle.loads(path.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            return None  # not there, or not yet whole on this node
        return "" if outcome == "success" else _last_sentence(value)

    def why_dead(self, row: QueueRow | None, now: float, gone_seconds: float) -> str | None:
        """Why no result can come any more; None while one may.

        Args:
            row: the job in squeue, None when it is not there.
            now: monotonic seconds.
            gone_seconds: patience with a job that squeue does not know.
        """
        if row is not None and row.is_alive:
            self.dead_since = None
            return None
        if row is not None:
            return self._after(RESULT_SECONDS, now, f"SLURM says {row.state}")
        return self._after(gone_seconds, now, "SLURM does not know it any more")

    def why_ended(self, now: float) -> str | None:
        """The same for a process of this machine."""
        if not self.handle.done():
            return None
        return self._after(RESULT_SECONDS, now, "its process ended without a result")

    def losses(self) -> int:
        """How often the job was lost with its node and started again by SLURM."""
        return History(self.log.parent / f"{self.id}_history.jsonl").losses

    def tail(self) -> str:
        """The last lines that the job itself wrote."""
        try:
            text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        lines = text.partition(_END_OF_JOB)[0].splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def remove_pickles(self) -> None:
        """Remove what only submitit needs; the log stays."""
        self.handle.paths.submitted_pickle.unlink(missing_ok=True)
        self.handle.paths.result_pickle.unlink(missing_ok=True)

    def _after(self, seconds: float, now: float, reason: str) -> str | None:
        if self.dead_since is None:
            self.dead_since = now
        return reason if now - self.dead_since >= seconds else None


def _last_sentence(trace: str) -> str:
    """`package.JobFailed: why` at the end of a traceback, without the class."""
    last = trace.strip().splitlines()[-1]
    return last.partition("JobFailed: ")[2] or last
