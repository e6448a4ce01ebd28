"""What a grid will cost, before anything is submitted: `python -m rebar plan`."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.cost.resources import (
    CPU_FLOPS,
    GPU_FLOPS,
    GPU_FROM_FLOPS,
    GPU_UTILISATION,
    MOST_MINUTES,
    Resources,
    resources,
    seconds,
    workload_of,
)
from rebar.grid import dag
from rebar.grid.workloads import Workload
from rebar.jobs.formats import terminal_table, two_digits

COLUMNS = ("stage", "jobs", "GPU-h", "CPU-h", "hours a job", "limit h", "disk GB", "files")


class Planned(NamedTuple):
    """A job of the plan."""

    stage: str
    asks: Resources
    seconds: float
    does: Workload
    reads: list[Path]

    @property
    def gpu_hours(self) -> float:
        """GPUs times hours."""
        return self.asks.gpus * self.asks.nodes * self.seconds / 3600

    @property
    def cpu_hours(self) -> float:
        """Cores times hours."""
        return self.asks.cpus * self.asks.nodes * self.seconds / 3600


def planned_jobs(config: Config) -> dict[Path, Planned]:
    """All jobs of the grid by folder, each after those that it reads."""
    jobs = {}
    for place, reads in dag.all_jobs(config).items():
        stage, names = dag.node(place)
        jobs[place] = Planned(
            stage,
            resources(config, stage, names),
            seconds(config, stage, names),
            workload_of(config, stage, names),
            reads,
        )
    return jobs


def wall_seconds(jobs: dict[Path, Planned], gpus: int, cpus: int) -> float:
    """Wall time on a cluster of so many GPUs and cores: ready jobs start first come, first served.

    A job that asks for more than there is gets all of it, and takes as much longer.
    """
    left = {place: len(job.reads) for place, job in jobs.items()}
    readers: dict[Path, list[Path]] = {place: [] for place in jobs}
    for place, job in jobs.items():
        for read in job.reads:
            readers[read].append(place)
    ready = [place for place, count in left.items() if not count]
    running: list[tuple[float, int, int, Path]] = []  # end, GPUs, cores, job
    now, free_gpus, free_cpus = 0.0, gpus, cpus
    while ready or running:
        waiting = []
        for place in ready:
            job_gpus, job_cpus, length = _fitted(jobs[place], gpus, cpus)
            if job_gpus > free_gpus or job_cpus > free_cpus:
                waiting.append(place)
                continue
            free_gpus, free_cpus = free_gpus - job_gpus, free_cpus - job_cpus
            heapq.heappush(running, (now + length, job_gpus, job_cpus, place))
        now, job_gpus, job_cpus, done = heapq.heappop(running)
        free_gpus, free_cpus = free_gpus + job_gpus, free_cpus + job_cpus
        for place in readers[done]:
            left[place] -= 1
        ready = waiting + [place for place in readers[done] if not left[place]]
    return now


def _fitted(job: Planned, gpus: int, cpus: int) -> tuple[int, int, float]:
    """GPUs and cores that the job gets, and how long it then takes."""
    job_gpus, job_cpus = job.asks.gpus * job.asks.nodes, job.asks.cpus * job.asks.nodes
    slower = max(job_gpus / gpus if gpus else 1.0, job_cpus / cpus, 1.0)
    return min(job_gpus, gpus), min(job_cpus, cpus), job.seconds * slower


def plan_lines(config: Config, gpus: int, cpus: int) -> Iterator[str]:
    """The plan as a table, a row a stage, and what it rests on."""
    jobs = planned_jobs(config)
    rows = [
        _row(stage, [j for j in jobs.values() if j.stage == stage]) for stage in grid.JOB_STAGES
    ]
    rows.append(_row("all", list(jobs.values())))
    yield from terminal_table(COLUMNS, rows).splitlines()
    hours = wall_seconds(jobs, gpus, cpus) / 3600
    yield f"\nwall time on {gpus} GPUs and {cpus} cores: {two_digits(hours)} h"
    if not gpus and any(job.asks.gpus for job in jobs.values()):
        yield "  without a GPU the jobs that ask for one would take far longer than this says"
    yield from _beyond_limits(jobs)
    checkpoints = max((job.does.checkpoint_bytes for job in jobs.values()), default=0)
    yield (
        f"disk for a run's checkpoints while it trains: {two_digits(checkpoints / 1e9)} GB "
        "(`python -m rebar prune` removes those of finished runs)"
    )
    yield (
        f"estimated from parameters and tokens: a GPU at {GPU_UTILISATION:.0%} of "
        f"{GPU_FLOPS / 1e12:.0f} TFLOP/s (H100, bf16), a core at {CPU_FLOPS / 1e9:.0f} GFLOP/s; "
        f"jobs from {GPU_FROM_FLOPS:.0e} FLOP on ask for a GPU"
    )


def _beyond_limits(jobs: dict[Path, Planned]) -> Iterator[str]:
    """What cannot end within the time that it asks for, and what to do."""
    hours = {
        stage: max((j.seconds for j in jobs.values() if j.stage == stage), default=0) / 3600
        for stage in grid.JOB_STAGES
        if stage not in grid.TRAINING_STAGES
    }
    beyond = {stage: value for stage, value in hours.items() if value * 60 > MOST_MINUTES}
    if beyond:
        named = ", ".join(f"{stage} {two_digits(value)} h" for stage, value in beyond.items())
        yield (
            f"longer than the {MOST_MINUTES // 60} h that a job asks for at most, and only "
            f"trainings go on after that: {named}; give them more time (`--set-resources "
            f"{next(iter(beyond))}:runtime=MINUTES`) or split the corpus (collect.shards)"
        )


def _row(name: str, jobs: list[Planned]) -> tuple[str, ...]:
    longest = max((job.seconds for job in jobs), default=0) / 3600
    limit = max((job.asks.minutes for job in jobs), default=0) / 60
    disk = sum(job.does.disk_bytes for job in jobs) / 1e9
    hours = (sum(j.gpu_hours for j in jobs), sum(j.cpu_hours for j in jobs), longest, limit, disk)
    return (name, str(len(jobs)), *map(two_digits, hours), str(sum(j.does.files for j in jobs)))
