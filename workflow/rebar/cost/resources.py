"""What a job asks the scheduler for. The rules request it and `python -m rebar plan` prints it.

Where a job runs (partition, account, GPU type, a factor on time and memory) is the profile's
business and not known here. Sizes decide, so that a demo asks for no GPU and a paper does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.config.model import Training
from rebar.grid import Names, dag
from rebar.grid.workloads import Workload

# H100 SXM, dense bf16 (NVIDIA's data sheet), times the share that training of 1-2B models reaches.
# SafeLM's 600B tokens on 32 GPUs in 6-7 days (2504.16980, App. H) are a share of .32-.37.
GPU_FLOPS, GPU_UTILISATION = 989e12, 0.35
GENERATE_UTILISATION = 0.05  # writing is bound by memory: ours
CPU_FLOPS = 1e11  # of one core in training, compiled or not; ours, measured on the demo
GPU_FROM_FLOPS = 1e15  # some hours of one core: from here on a job asks for a GPU
START_SECONDS = 10.0  # Python, torch, reading a model

MARGIN = 3  # a limit is so many times the estimate
FEWEST_MINUTES, MOST_MINUTES = 15, 24 * 60  # a training goes on where a limit has ended it
BASE_MB = 1200  # Python with torch and transformers, and room for a compiler
MOST_IN_MEMORY_MB = 64_000  # of data; streams and memory maps hold no more


class Resources(NamedTuple):
    """What one job asks for; memory, CPUs and GPUs are those of a node."""

    minutes: int
    mem_mb: int
    cpus: int
    gpus: int
    nodes: int


def resources(config: Config, stage: str, wildcards: Names) -> Resources:
    """What a job of the stage asks for."""
    does = workload_of(config, stage, wildcards)
    training = _training(config, stage, wildcards)
    processes = training.processes_per_node if training else 1
    wants_gpu = does.train_flops + does.generate_flops >= GPU_FROM_FLOPS
    return Resources(
        minutes=_minutes(_seconds(does, training)),
        mem_mb=_memory_mb(does, processes, wants_gpu),
        cpus=processes * (training.threads if training else 1),
        gpus=processes if wants_gpu else 0,
        nodes=training.nodes if training else 1,
    )


def workload_of(config: Config, stage: str, wildcards: Names) -> Workload:
    """How much a job of the stage does."""
    workload = grid.STAGES[stage].workload
    assert workload is not None, f"{stage} runs beside the driver and asks for nothing"
    return workload(config, wildcards)


def seconds(config: Config, stage: str, wildcards: Names) -> float:
    """Expected wall time of a job, start-up included."""
    training = _training(config, stage, wildcards)
    return _seconds(workload_of(config, stage, wildcards), training)


def _training(config: Config, stage: str, wildcards: Names) -> Training | None:
    """The job's training if it has one that several processes share."""
    return dag.training_of(stage, wildcards, dag.settings_of(config, stage, wildcards))


def _seconds(does: Workload, training: Training | None) -> float:
    workers = training.num_processes if training else 1
    return START_SECONDS + does.cpu_seconds + _flop_seconds(does) / workers


def _flop_seconds(does: Workload) -> float:
    """Of one GPU, or of one core where the job is small."""
    total = does.train_flops + does.generate_flops
    if total < GPU_FROM_FLOPS:
        return total / CPU_FLOPS
    training = does.train_flops / (GPU_FLOPS * GPU_UTILISATION)
    return training + does.generate_flops / (GPU_FLOPS * GENERATE_UTILISATION)


def _minutes(expected_seconds: float) -> int:
    limit = math.ceil(MARGIN * expected_seconds / 60)
    return min(MOST_MINUTES, max(FEWEST_MINUTES, limit))


def _memory_mb(does: Workload, processes: int, wants_gpu: bool) -> int:
    """Of the host. On the CPU it holds weights, gradients and AdamW's moments."""
    a_weight = 8 if wants_gpu or not does.is_trained else 16
    activations = 0 if wants_gpu else does.memory_bytes
    data = activations if does.is_trained else min(does.memory_bytes, MOST_IN_MEMORY_MB * 1e6)
    return math.ceil(processes * (BASE_MB + (a_weight * does.parameters + data) / 1e6))
