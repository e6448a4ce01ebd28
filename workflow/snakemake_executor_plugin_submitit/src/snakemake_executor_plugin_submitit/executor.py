"""Snakemake's side of the executor: submit jobs, follow them, and report how they end.

Snakemake calls `run_jobs` and `cancel_jobs` in its main thread and `check_active_jobs` in another
one.
"""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import submitit
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_submitit import claim, logs, names, queue, resources, submission
from snakemake_executor_plugin_submitit.ledger import Ledger, LedgerEntry
from snakemake_executor_plugin_submitit.queue import Queue, QueueBusy, QueueRow
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.settings import ExecutorSettings, check
from snakemake_executor_plugin_submitit.submission import Batch

_SUBMISSION_TRIES = 5
_CANCEL_SECONDS = 90  # SLURM kills what does not end after KillWait, usually 30 s


class Executor(RemoteExecutor):
    """Submits jobs through submitit and reports their ends to Snakemake."""

    def __post_init__(self) -> None:
        """Read the options and what an earlier driver left behind."""
        settings = self.executor_settings
        assert isinstance(settings, ExecutorSettings)
        check(settings)
        self._settings = settings
        self._is_slurm = settings.cluster == "slurm"
        self._folder = Path(settings.folder).resolve()
        self._name = logs.new_run()
        self._num_submissions = 0
        self._cores = 1
        self._queue = Queue(settings.squeue_seconds)
        self._ledger = Ledger(self._folder)
        self._runs: dict[tuple[str, int], Run] = {}
        self._survivors: dict[str, Run] | None = None
        kept = {entry.token.partition("/")[0] for entry in self._ledger.entries()}
        logs.remove_old_runs(self._folder, settings.keep_days, kept)

    @property
    def cores(self) -> int:
        """Cores for the inner Snakemake: the job's CPUs, not all of the node that it shares."""
        return self._cores

    def get_job_args(self, job: JobExecutorInterface) -> str:
        """Command-line arguments of the inner Snakemake."""
        self._cores = resources.num_cpus(job)
        return super().get_job_args(job)

    # Submission

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self.run_jobs([job])

    def run_jobs(self, jobs: Sequence[JobExecutorInterface]) -> None:
        """Submit ready jobs, except those that an earlier driver submitted and that still run."""
        for job in jobs:
            self.run_job_pre(job)
        new = [job for job in jobs if not self._attach(job)]
        batches, refusals = submission.batches(new, self._settings)
        for refusal in refusals:
            self._refuse(refusal.job, str(refusal.error))
        for batch in batches:
            self._submit(batch)

    def _submit(self, batch: Batch) -> None:
        """Submit a batch; try again while the controller is busy, otherwise fail its jobs."""
        error = ""
        for pause in (0, *islice(self._queue.pauses(), _SUBMISSION_TRIES)):
            if pause:
                text = f"The SLURM controller is busy; trying again in {pause:.0f} s."
                self.logger.info(f"{error}\n{text}")
                time.sleep(pause)
            error = self._try_to_submit(batch)
            if not queue.is_busy(error):
                break
        if error:
            for job in batch.jobs:
                self._refuse(job, error)

    def _try_to_submit(self, batch: Batch) -> str:
        """Submit a batch; return SLURM's error message if it refused it, else an empty text."""
        self._num_submissions += 1
        token = f"{self._name}/{self._num_submissions}"
        entries = submission.entries(batch, token)
        commands = [
            submission.command(job, self.format_job_exec(job), token, self._folder, self._settings)
            for job in batch.jobs
        ]
        if self._is_slurm:
            # Recorded before it is submitted, so that a killed driver leaves no unknown job in the
            # queue.
            self._ledger.add(entries)
        for command in commands:
            for folder in command.claims:
                claim.grant(folder, token)
        try:
            handles = submission.submit(
                batch, commands, self._folder / token, self._settings.cluster
            )
        except (RuntimeError, OSError, ValueError) as error:
            self._withdraw(entries)
            return str(error) or type(error).__name__
        for job, handle, entry in zip(batch.jobs, handles, entries, strict=True):
            self._register(job, Run(handle, entry, names.job_name(job)))
        return ""

    def _withdraw(self, entries: list[LedgerEntry]) -> None:
        """Make sure that no job of a failed submission runs: SLURM may have accepted it."""
        for entry in entries:
            for target in entry.digests:
                claim.revoke(claim.folder_of(self._folder, target))
        if self._is_slurm:
            self._end(entries)

    def _register(self, job: JobExecutorInterface, run: Run) -> None:
        """Tell Snakemake and the user about a submitted job."""
        self._runs[run.entry.key] = run
        info = SubmittedJobInfo(job, external_jobid=run.id, aux={"run": run})
        if self._settings.cluster == "debug":
            self._debug(info, run)
            return
        rule, wildcards = names.rule_name(job), names.wildcards(job)
        log = logs.link_log(self._folder, rule, wildcards, run.log)
        self.logger.info(f"Job {job.jobid} is {self._settings.cluster} job {run.id}, log: {log}")
        self.report_job_submission(info)

    def _debug(self, info: SubmittedJobInfo, run: Run) -> None:
        """Run the job in this process and report its end."""
        error = run.handle.exception()
        del self._runs[run.entry.key]
        if error is None:
            self.report_job_success(info)
        else:
            self.report_job_error(info, msg=f"debug job {run.id} failed: {error}. ")

    def _refuse(self, job: JobExecutorInterface, error: str) -> None:
        """Fail a job that could not be submitted; the rest of the workflow continues."""
        lines = [line for line in error.splitlines() if "error" in line.lower()] or [error]
        text = "submission failed: " + "\n".join(dict.fromkeys(lines))
        if job.is_group():
            self.logger.error(text)  # Snakemake shows no message for groups
        self.report_job_error(SubmittedJobInfo(job), msg=f"{text}\n")

    # What an earlier driver left in the queue

    def _attach(self, job: JobExecutorInterface) -> bool:
        """Take over a job that an earlier driver submitted; cancel it if it is out of date."""
        if self._survivors is None:
            self._survivors = self._find_survivors()
        digests = names.digests(job)
        runs = [self._survivors[target] for target in digests if target in self._survivors]
        if not runs:
            return False
        entries = {run.entry.key: run.entry for run in runs}
        if len(entries) == 1 and digests.items() <= runs[0].entry.digests.items():
            self.logger.info(f"Job {job.jobid} still runs as {runs[0].id}; taking it over.")
            self._register(job, runs[0])
            return True
        self.logger.info(
            f"Job {job.jobid} still runs with an older command or inputs; cancelling that run."
        )
        self._withdraw(list(entries.values()))
        return False

    def _find_survivors(self) -> dict[str, Run]:
        """Jobs of earlier drivers that are in the queue and known to submitit, by target."""
        entries = {entry.key: entry for entry in self._ledger.entries()} if self._is_slurm else {}
        if not entries:
            return {}
        ids = {row.key: row.id for row in self._ask_queue() if row.is_alive}
        survivors, strays = {}, []
        for key, entry in entries.items():
            if key not in ids:
                self._ledger.close(entry)
                continue
            handle = submitit.SlurmJob(folder=self._folder / entry.token, job_id=ids[key])
            if handle.paths.submitted_pickle.exists():
                survivors |= dict.fromkeys(entry.digests, Run(handle, entry, entry.token))
            else:
                strays.append(entry)  # the driver was killed while it submitted
        self._withdraw(strays)
        return survivors

    def _ask_queue(self) -> list[QueueRow]:
        """Ask for the queue until the controller answers: guessing could run a job twice."""
        pauses = self._queue.pauses()
        while True:
            try:
                return queue.squeue()
            except QueueBusy as error:
                pause = next(pauses)
                self.logger.info(f"{error}; asking again in {pause:.0f} s")
                time.sleep(pause)

    # The ends of jobs

    async def check_active_jobs(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncIterator[SubmittedJobInfo]:  # the interface omits that it is asynchronous
        """Report the jobs that have ended and yield the others."""
        waiting = [info for info in active_jobs if not self._report_result(info)]
        rows = self._poll() if waiting and self._is_slurm else None
        dead = []
        for info in waiting:
            reason = self._death_reason(_run(info), rows)
            if reason is None:
                yield info
            else:
                dead.append((info, reason))
        if dead and self._is_slurm:
            # SLURM could requeue a job that looks dead, so cancel it before it is reported.
            self._withdraw([_run(info).entry for info, _ in dead])
        for info, reason in dead:
            self._fail(info, reason)

    def _death_reason(self, run: Run, rows: dict[tuple[str, int], QueueRow] | None) -> str | None:
        """Why a job can leave no result any more; None while it may. `rows` as in `_poll`."""
        now = time.monotonic()
        if not self._is_slurm:
            return run.end_reason(now)
        if rows is None:
            return None
        row = rows.get(run.entry.key)
        if row and run.state == "RUNNING" and row.state == "PENDING":
            self.logger.info(f"{run.name} ({run.id}) was requeued")
        run.state = row.state if row else run.state
        return run.death_reason(row, now, self._settings.gone_seconds)

    def _poll(self) -> dict[tuple[str, int], QueueRow] | None:
        """The queue by key; None if it was not asked this time or did not answer."""
        try:
            return self._queue.poll()
        except QueueBusy as error:
            self.logger.info(str(error))
            return None

    def _report_result(self, info: SubmittedJobInfo) -> bool:
        """Report a job that left a result; return False if it left none."""
        run = _run(info)
        error = run.error()
        if error is None:
            return False
        if error:
            self._fail(info, error)
            return True
        for target in run.entry.digests:
            claim.forget(claim.folder_of(self._folder, target))
        self._close(run)
        self.report_job_success(info)
        return True

    def _fail(self, info: SubmittedJobInfo, reason: str) -> None:
        run = _run(info)
        text = (
            f"{self._settings.cluster} job {run.id} failed: {reason}\nlog: {run.log}\n"
            f"its last lines:\n{textwrap.indent(run.log_tail(), '    ')}\n"
        )
        # SLURM restarted the job after the loss of a node; those restarts count as retries.
        job: Any = info.job
        job.attempt += run.losses()
        self._close(run)
        if job.is_group():
            self.logger.error(text)  # Snakemake shows no message for groups
        self.report_job_error(info, msg=text, aux_logs=[str(run.log)])

    def _close(self, run: Run) -> None:
        if run.entry.token.startswith(self._name):
            run.remove_pickles()  # an earlier driver's group may have become several jobs
        self._ledger.close(run.entry)
        self._runs.pop(run.entry.key, None)

    async def sleep(self) -> None:
        """Wait for the next check; return at once when the workflow ends."""
        end = time.monotonic() + self.next_seconds_between_status_checks
        while self.wait and time.monotonic() < end:
            await asyncio.sleep(0.2)

    # Cancelling

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel all jobs, also those that sbatch has only begun to submit."""
        if self._is_slurm:
            self._withdraw(self._ledger.entries())
            return
        runs = list(self._runs.values())
        for run in runs:
            run.handle.cancel(check=False)
        _wait_until(lambda: all(run.handle.done() for run in runs), 10)

    def _end(self, entries: list[LedgerEntry]) -> None:
        """Cancel jobs until squeue shows none of them; those it still shows stay in the ledger."""
        keys = {entry.key for entry in entries}
        left = keys

        def are_gone() -> bool:
            nonlocal left
            try:
                rows = [row for row in queue.squeue() if row.is_alive and row.key in keys]
                left = {row.key for row in rows}
                queue.scancel(row.id for row in rows)
            except QueueBusy as error:
                self.logger.info(str(error))
            return not left

        if entries and not _wait_until(are_gone, _CANCEL_SECONDS):
            self.logger.info(
                f"{len(left)} cancelled jobs are still in the queue; look with squeue --me."
            )
        for entry in entries:
            if entry.key not in left:
                self._ledger.close(entry)


def _run(info: SubmittedJobInfo) -> Run:
    assert info.aux is not None
    return info.aux["run"]


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds; return False if it does not within `seconds`."""
    end = time.monotonic() + seconds
    pause = 0.2
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 5)
    return True
