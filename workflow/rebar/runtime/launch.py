"""A training as several processes: on one node, or on the nodes of a SLURM job.

A job whose training asks for one process runs where it is. Otherwise the process that was started
becomes a launcher: it starts `torch.distributed.run`, under SLURM once a node, which starts the
same command once a GPU. Launchers outlive the checkpoint signal; the processes that train save.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence

import psutil

from rebar.config.model import Training
from rebar.jobs import checkpoint_signal
from rebar.jobs.job import Job

PORTS = range(10_000, 30_000)  # below those that Linux gives to clients
# srun resets what a task ignores, and torch.distributed.run would die of the signal.
IGNORING = ("bash", "-c", "trap '' USR2; exec \"$@\"", "bash")
_SIGNALLED = 128  # a shell's and srun's status of what signal N ended is 128 + N
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def is_worker() -> bool:
    """Whether a launcher has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process alone, or first of several, works on its job."""
    return not is_worker() or os.environ["RANK"] == "0"


def end_with_launcher() -> None:
    """Let this worker die when its launcher dies: it stands in a session of its own."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def is_needed(job: Job) -> bool:
    """Whether this process is to start others instead of training."""
    training = job.training
    return (
        not is_worker()
        and training is not None
        and training.num_processes > 1
        and training.steps > 0
    )


def launch(job: Job, arguments: Sequence[str]) -> int:
    """Run `python -m rebar ARGUMENTS` once a process; the exit status.

    ValueError says what is missing for several nodes.
    """
    training = job.training
    assert training is not None
    worker = ["-m", "rebar", *arguments]
    has_signal_come = False
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # what is started now inherits this
    process = subprocess.Popen(command(training, worker), env=environment())

    def pass_on(number: int, frame: object) -> None:
        nonlocal has_signal_come
        has_signal_come = True
        # SLURM signals all processes, others this one's group, where workers do not belong to.
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children():
                child.send_signal(number)

    signal.signal(signal.SIGUSR2, pass_on)
    status = process.wait()
    # The node whose workers have saved first ends the others' launchers, by `--kill-on-bad-exit`.
    was_ended = status < 0 or status > _SIGNALLED
    return checkpoint_signal.STATUS if was_ended and has_signal_come else status


def command(training: Training, worker: Sequence[str]) -> list[str]:
    """The command that starts the worker once a process."""
    nodes = training.nodes
    run = [sys.executable, "-m", "rebar.runtime.elastic", f"--nnodes={nodes}"]
    run.append(f"--nproc-per-node={training.processes_per_node}")
    if nodes == 1:
        return [*run, "--standalone", "--local-addr=127.0.0.1", *worker]  # a free port of its own
    _check_allocation(nodes)
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={_host()}:{_port()}"]
    meeting.append(f"--rdzv-id={'-'.join(map(str, _start()))}")
    return [*_srun(nodes), *IGNORING, *run, *meeting, *worker]


def environment() -> dict[str, str]:
    """This process's environment without what would speak against srun's options."""
    against = ("SLURM_MEM_PER", "SLURM_CPU_BIND")
    return {name: value for name, value in os.environ.items() if not name.startswith(against)}


def _check_allocation(nodes: int) -> None:
    allocated = int(os.environ.get("SLURM_JOB_NUM_NODES", "0"))
    if allocated != nodes:
        here = f"this SLURM job has {allocated}" if allocated else "this is no SLURM job"
        raise ValueError(f"training.nodes is {nodes}, but {here}; run it as a job of {nodes} nodes")


def _srun(nodes: int) -> list[str]:
    """One task a node with all that the job has there.

    It runs inside a step of one task, whose numbers srun would otherwise take over; `--overlap`
    shares that step's CPUs and GPUs, `--mem=0` its memory.
    """
    cpus = re.match(r"\d+", os.environ["SLURM_JOB_CPUS_PER_NODE"])
    assert cpus is not None
    return [
        "srun",
        "--overlap",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={cpus.group()}",
        "--mem=0",
        "--kill-on-bad-exit=1",
    ]


def _host() -> str:
    """Where processes meet: the first node, or MASTER_ADDR where its name does not resolve."""
    if "MASTER_ADDR" in os.environ:
        return os.environ["MASTER_ADDR"]
    nodes = os.environ["SLURM_JOB_NODELIST"]
    names = subprocess.check_output(["scontrol", "show", "hostnames", nodes], text=True)
    return names.split()[0]


def _start() -> tuple[int, int]:
    """Job id and the number of its requeues."""
    return int(os.environ["SLURM_JOB_ID"]), int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def _port() -> int:
    """A port that every node knows; a requeued job has another, its old one may still be held."""
    job_id, restarts = _start()
    return PORTS[(job_id + 1009 * restarts) % len(PORTS)]
