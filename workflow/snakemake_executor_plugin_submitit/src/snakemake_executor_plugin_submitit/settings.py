"""The command-line options (`--submitit-*`) and their allowed values."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

# Snakemake reads an option's type from the annotation. If that is not a plain class, the metadata
# must give `type`.


def _option(default: object, text: str, **metadata: object) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Options of a site or a user; a rule's resource overrides the option of the same meaning."""

    cluster: str = _option(
        "slurm",
        "Where jobs run: slurm; local (processes on this machine); debug (one after the other in "
        "this process, output on the terminal).",
        type=str,
        choices=["slurm", "local", "debug"],
    )
    folder: str = _option(
        ".snakemake/submitit",
        "Folder for logs, pickles and the record of submitted jobs; all nodes must see it.",
        type=str,
    )
    partition: str | None = _option(
        None, "Partition of jobs whose rule does not set slurm_partition.", type=str
    )
    gpu_partition: str | None = _option(
        None, "Partition of jobs with a GPU; default: that of --submitit-partition.", type=str
    )
    account: str | None = _option(
        None, "Account of jobs whose rule does not set slurm_account.", type=str
    )
    qos: str | None = _option(None, "Quality of service of jobs whose rule sets no qos.", type=str)
    gpu_type: str | None = _option(
        None, "Type of GPU, as in --gpus-per-node=TYPE:N, where a rule sets no gpu_model.", type=str
    )
    setup: str | None = _option(
        None,
        "Shell line to run on the node before the job, such as module loads or "
        "`source .venv/bin/activate`.",
        type=str,
    )
    extra: str | None = _option(
        None,
        "Further options of sbatch for every job, such as --reservation=x --exclusive. A rule's "
        "resource slurm_extra replaces them.",
        type=str,
    )
    time_factor: float = _option(1.0, "Multiplies the resource runtime.", type=float)
    memory_factor: float = _option(1.0, "Multiplies the resource mem_mb.", type=float)
    array_limit: int = _option(
        1000,
        "Ready jobs with the same rule and resources are submitted as one array of at most this "
        "many jobs (must be below the site's MaxArraySize); 1 turns arrays off.",
        type=int,
    )
    signal_seconds: int = _option(
        90,
        "Seconds between the checkpoint signal (SIGUSR2) and the end of a job's time; at most half "
        "of the job's time is used.",
        type=int,
    )
    max_requeues: int = _option(
        3,
        "How often a job may run out of time and be continued. Preemption does not count.",
        type=int,
    )
    squeue_seconds: int = _option(
        10,
        "Seconds between two calls of squeue (one call for all jobs); doubled, up to 16 times "
        "this value, while the controller does not answer. Finished jobs are recognised by their "
        "files, every --seconds-between-status-checks.",
        type=int,
    )
    gone_seconds: int = _option(
        60,
        "Seconds after which a job that squeue does not know and that left no result has failed.",
        type=int,
    )
    keep_days: int = _option(
        10, "Logs of runs older than this many days are deleted; 0 keeps all of them.", type=int
    )


_AT_LEAST = {
    "array_limit": 1,
    "signal_seconds": 1,
    "max_requeues": 0,
    "squeue_seconds": 1,
    "gone_seconds": 0,
    "keep_days": 0,
}


def check(settings: ExecutorSettings) -> None:
    """Raise WorkflowError that names the faulty option and what is allowed."""
    for name, least in _AT_LEAST.items():
        if getattr(settings, name) < least:
            raise WorkflowError(
                f"{_flag(name)}={getattr(settings, name)}: it must be at least {least}."
            )
    for name in ("time_factor", "memory_factor"):
        if getattr(settings, name) <= 0:
            raise WorkflowError(f"{_flag(name)}={getattr(settings, name)}: it must be above 0.")
    if settings.cluster == "slurm" and shutil.which("sbatch") is None:
        raise WorkflowError(
            "sbatch is not on the PATH, so --submitit-cluster slurm cannot work here. "
            "On a machine without SLURM use --submitit-cluster local."
        )


def _flag(name: str) -> str:
    return f"--submitit-{name.replace('_', '-')}"
