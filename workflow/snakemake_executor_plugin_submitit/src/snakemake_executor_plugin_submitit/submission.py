"""Turn Snakemake's jobs into submissions of submitit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import submitit
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_submitit import claim, names, queue, resources
from snakemake_executor_plugin_submitit.command import Command
from snakemake_executor_plugin_submitit.ledger import LedgerEntry
from snakemake_executor_plugin_submitit.settings import ExecutorSettings

# `Command` counts the requeues itself, because submitit counts every job with a limit below ten
# minutes as timed out.
_UNCOUNTED = 1_000_000


class Batch(NamedTuple):
    """Jobs that differ only in their wildcards, and submitit's parameters for them."""

    jobs: list[JobExecutorInterface]
    parameters: dict[str, object]


class Refusal(NamedTuple):
    """A job that cannot be submitted as it is, and why."""

    job: JobExecutorInterface
    error: WorkflowError


def batches(
    jobs: Iterable[JobExecutorInterface], settings: ExecutorSettings
) -> tuple[list[Batch], list[Refusal]]:
    """Group jobs by rule and resources, at most `array_limit` jobs per batch."""
    groups: dict[str, Batch] = {}
    refusals = []
    for job in jobs:
        try:
            parameters = resources.parameters(job, settings)
        except WorkflowError as error:
            refusals.append(Refusal(job, error))
            continue
        key = json.dumps([names.rule_name(job), parameters], sort_keys=True)
        groups.setdefault(key, Batch([], parameters)).jobs.append(job)
    limit = settings.array_limit if settings.cluster == "slurm" else 1
    parts = [
        Batch(group.jobs[first : first + limit], group.parameters)
        for group in groups.values()
        for first in range(0, len(group.jobs), limit)
    ]
    return parts, refusals


def entries(batch: Batch, token: str) -> list[LedgerEntry]:
    """The ledger entries of a batch."""
    is_array = len(batch.jobs) > 1
    return [
        LedgerEntry(token, index, is_array, names.digests(job))
        for index, job in enumerate(batch.jobs)
    ]


def command(
    job: JobExecutorInterface, shell: str, token: str, base: Path, settings: ExecutorSettings
) -> Command:
    """The command that submitit runs for a job."""
    limit = resources.minutes(job, settings)
    is_debug = settings.cluster == "debug"
    claims = tuple(claim.folder_of(base, target) for target in names.targets(job))
    return Command(
        shell=shell,
        name=names.job_name(job),
        token=token,
        claims=() if is_debug else claims,
        minutes=limit,
        signal_seconds=resources.signal_seconds(limit, settings),
        max_requeues=settings.max_requeues,
        max_losses=retries_left(job),
        is_debug=is_debug,
        is_slurm=settings.cluster == "slurm",
    )


def retries_left(job: JobExecutorInterface) -> int:
    """How often Snakemake would still submit the job again."""
    return job.restart_times - (job.attempt - 1)  # pyright: ignore[reportAttributeAccessIssue]


def submit(
    batch: Batch, commands: Sequence[Command], folder: Path, cluster: str
) -> list[submitit.Job[str]]:
    """Submit a batch: as one job, or as one array.

    Raises:
        RuntimeError: SLURM refused it or did not answer.
        OSError: the folder cannot be written.
        ValueError: submitit cannot do what the resources ask for.
    """
    # SLURM opens the log before the job's first line runs, so the folder must exist.
    folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.AutoExecutor(
        folder=folder,
        cluster=cluster,
        slurm_max_num_timeout=_UNCOUNTED,
        local_max_num_timeout=_UNCOUNTED,
    )
    first = batch.jobs[0]
    name = names.job_name(first) if len(batch.jobs) == 1 else names.rule_name(first)
    parameters = dict(batch.parameters, name=name)
    if cluster == "slurm":
        parameters |= {"slurm_comment": commands[0].token}
        parameters |= {"slurm_array_parallelism": len(batch.jobs)}
    executor.update_parameters(**parameters)
    environment = queue.outside_of_jobs() if cluster == "slurm" else nullcontext()
    with environment, executor.batch():
        return [executor.submit(command) for command in commands]
