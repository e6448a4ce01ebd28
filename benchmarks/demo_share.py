"""Share of the demo's time without computing: start-up, imports, compilation, orchestration.

Every job's costs.json holds its end, its duration, the duration of its start-up, and the first step
of each training (mostly compilation). Time in which no job runs is orchestration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.rows import make_row

LIMIT = 0.20  # what the project allows itself


def read_jobs(results: Path) -> list[dict[str, Any]]:
    """Read the costs of all jobs of a grid that was run in one go."""
    paths = sorted(results.rglob("costs.json"))
    jobs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [job for job in jobs if "finished" in job]


def uncovered_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds between the first start and the last end in which no span runs."""
    uncovered, end = 0.0, None
    for start, stop in sorted(spans):
        if end is not None and start > end:
            uncovered += start - end
        end = stop if end is None else max(end, stop)
    return uncovered


def noncompute_share(jobs: list[dict[str, Any]]) -> float:
    """Share of the jobs' seconds, and of the time between jobs, in which nothing is computed."""
    spans = [(job["finished"] - job["seconds"], job["finished"]) for job in jobs]
    idle = uncovered_seconds(spans)
    overhead = sum(job["startup_seconds"] + job.get("first_step_seconds", 0.0) for job in jobs)
    return (overhead + idle) / (sum(job["seconds"] for job in jobs) + idle)


def share_row(results: Path) -> dict[str, Any]:
    """The benchmark's row; raises ValueError if the demo has not run."""
    jobs = read_jobs(results)
    if not jobs:
        raise ValueError(f"{results} holds no finished demo; run `make demo` first")
    share = noncompute_share(jobs)
    note = f"{len(jobs)} jobs; peer is the limit; start-up, first steps, time between jobs"
    return make_row("demo_noncompute_share", share, LIMIT, "share of job seconds", note)
