"""A job's resources as parameters of submitit; named as in Snakemake's own SLURM plug-in."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_submitit.settings import ExecutorSettings

DEFAULT_MINUTES = 60  # time limit of rules without `runtime`, because submitit needs one
_LOCAL_SIGNAL_SECONDS = 30  # fixed by submitit for local jobs

# All other `slurm_*` are refused; otherwise a misspelt one would be ignored.
SLURM_RESOURCES = ("slurm_partition", "slurm_account", "slurm_extra")

# Options that the executor sets itself, in order to find, cancel and requeue its jobs.
_RESERVED = (
    "array", "comment", "error", "job-name", "no-requeue", "open-mode", "output", "requeue",
    "signal",
)  # fmt: skip


def parameters(job: JobExecutorInterface, settings: ExecutorSettings) -> dict[str, object]:
    """Parameters for `AutoExecutor.update_parameters`, without the job's name.

    Raises:
        WorkflowError: a resource that SLURM or the executor cannot use.
    """
    resources = dict(job.resources.items())
    result: dict[str, object] = {
        "timeout_min": minutes(job, settings),
        "cpus_per_task": num_cpus(job),
        "nodes": _number(resources, "nodes", 1),
        "stderr_to_stdout": True,
    }
    if settings.cluster == "slurm":
        result |= _slurm(job, settings)
    elif _number(resources, "gpu", 0):
        result["gpus_per_node"] = _number(resources, "gpu", 0)
    if settings.setup and settings.cluster != "debug":
        result[f"{settings.cluster}_setup"] = [settings.setup]
    return result


def num_cpus(job: JobExecutorInterface) -> int:
    """CPUs per task: the resource cpus_per_task, else the rule's threads."""
    return _number(dict(job.resources.items()), "cpus_per_task", max(1, job.threads))


def minutes(job: JobExecutorInterface, settings: ExecutorSettings) -> int:
    """The job's time limit in minutes."""
    runtime = _number(dict(job.resources.items()), "runtime", DEFAULT_MINUTES)
    return max(1, math.ceil(runtime * settings.time_factor))


def signal_seconds(limit_minutes: int, settings: ExecutorSettings) -> int:
    """Seconds from the checkpoint signal to the end of a job's time, at most half of the time."""
    if settings.cluster == "local":
        return _LOCAL_SIGNAL_SECONDS
    return min(settings.signal_seconds, limit_minutes * 30)


def _slurm(job: JobExecutorInterface, settings: ExecutorSettings) -> dict[str, object]:
    resources = dict(job.resources.items())
    _check_names(resources)
    tasks = _number(resources, "tasks_per_node", 1)
    gpus = _number(resources, "gpu", 0)
    partition = settings.gpu_partition if gpus and settings.gpu_partition else settings.partition
    result = {
        "tasks_per_node": tasks,
        "slurm_partition": resources.get("slurm_partition", partition),
        "slurm_account": resources.get("slurm_account", settings.account),
        "slurm_qos": resources.get("qos", settings.qos),
        "slurm_constraint": resources.get("constraint"),
        "slurm_gres": resources.get("gres"),
        "slurm_gpus_per_node": _gpus(gpus, resources.get("gpu_model", settings.gpu_type)),
        "slurm_signal_delay_s": signal_seconds(minutes(job, settings), settings),
        # One process starts the command, on the first node, with all that the job has there.
        # srun does not take over sbatch's --cpus-per-task. A `srun --overlap` of the job inherits
        # the distribution, and for one task srun would choose cyclic.
        "slurm_srun_args": [
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={num_cpus(job) * tasks}",
            "--distribution=block",
        ],
        "slurm_additional_parameters": {
            "requeue": True,
            **parse_extra(str(resources.get("slurm_extra", settings.extra or ""))),
        },
        **_memory(resources, settings),
    }
    return {name: value for name, value in result.items() if value is not None}


def _memory(resources: Mapping[str, object], settings: ExecutorSettings) -> dict[str, str]:
    """The memory parameter; SLURM refuses a job with both, so the one per CPU wins."""
    for resource, parameter in (("mem_mb_per_cpu", "slurm_mem_per_cpu"), ("mem_mb", "slurm_mem")):
        megabytes = _number(resources, resource, 0)
        if megabytes:
            return {parameter: f"{math.ceil(megabytes * settings.memory_factor)}MB"}
    return {}


def _gpus(number: int, model: object) -> str | None:
    if not number:
        return None
    return f"{model}:{number}" if model else str(number)


def parse_extra(text: str) -> dict[str, str | bool]:
    """Parse options such as `--reservation=x --exclusive` into a dictionary.

    Raises:
        WorkflowError: a word of another form, or an option that the executor sets.
    """
    result: dict[str, str | bool] = {}
    for word in shlex.split(text):
        name, sign, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise WorkflowError(
                f"slurm_extra: {word!r} is not of the form --option=value or --option "
                "(long options of sbatch, an equals sign between option and value)."
            )
        if name in _RESERVED:
            raise WorkflowError(
                f"slurm_extra: --{name} is set by the executor; remove it (not allowed: "
                f"{', '.join(_RESERVED)})."
            )
        result[name] = value if sign else True
    return result


def _check_names(resources: Mapping[str, object]) -> None:
    for name in resources:
        if name.startswith("slurm_") and name not in SLURM_RESOURCES:
            raise WorkflowError(
                f"Resource {name} is unknown. Known: {', '.join(SLURM_RESOURCES)}, qos, "
                "constraint, mem_mb, mem_mb_per_cpu, runtime, cpus_per_task, gpu, gpu_model, gres, "
                "nodes, tasks_per_node; anything else of sbatch goes into slurm_extra."
            )


def _number(resources: Mapping[str, object], name: str, default: int) -> int:
    value = resources.get(name, default)
    try:
        return int(str(value))
    except ValueError:
        raise WorkflowError(f"Resource {name}={value!r} is not a whole number.") from None
