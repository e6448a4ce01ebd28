"""Seconds of `snakemake -n` on grids of about 5,000 and 10,000 jobs, grown by seeds and by arms.

It uses the demo's config and the real rules, in a copy of the project without results. The time is
that of the whole command, including start-up.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any, NamedTuple

import yaml
from tests.workflow.conftest import ROOT, copy_project

from benchmarks.rows import make_row

LIMIT = 40.0  # seconds; the project's limit for 10,000 jobs
TURNS = 3
SIZES = {"seeds": (96, 192), "arms": (703, 1418)}  # about 5,000 and 10,000 jobs


class DryRun(NamedTuple):
    """Jobs and duration of a dry run; CPU seconds depend little on what else the machine does."""

    jobs: int
    seconds: float
    cpu_seconds: float


def grow_config(growth: str, size: int) -> dict[str, Any]:
    """The demo's config with this many seeds, or with this many recipes more."""
    config = yaml.safe_load((ROOT / "config/demo.yaml").read_text(encoding="utf-8"))
    if growth == "seeds":
        return config | {"seeds": list(range(10, 10 + size))}
    names = [f"moral{number}" for number in range(size)]
    config["recipes"] |= dict.fromkeys(names, config["recipes"]["moral"])
    for block in config["grid"][:2]:  # base models; aligned models with all attacks
        block["recipes"] = block["recipes"] + names
    return config


def dry_run(project: Path, file: Path) -> DryRun:
    """Run `snakemake -n` once and count its jobs."""
    begin, cpu_begin = time.perf_counter(), getrusage(RUSAGE_CHILDREN).ru_utime
    result = subprocess.run(
        ["snakemake", "-n", "--quiet", "rules", "--configfile", str(file), "--", "all"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project / "workflow")},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - begin
    cpu_seconds = getrusage(RUSAGE_CHILDREN).ru_utime - cpu_begin
    counted = re.search(r"^total +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
    assert counted, result.stdout
    return DryRun(int(counted[1]), seconds, cpu_seconds)


def measure(growth: str) -> list[DryRun]:
    """Medians of the dry runs of both sizes, which take turns."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        copy_project(project)
        files = [project / f"{size}.yaml" for size in SIZES[growth]]
        for size, file in zip(SIZES[growth], files, strict=True):
            file.write_text(yaml.safe_dump(grow_config(growth, size)), encoding="utf-8")
        turns = [[dry_run(project, file) for file in files] for _ in range(TURNS)]
    print(f"dry runs by {growth}: {turns}", file=sys.stderr)
    return [medians(runs) for runs in zip(*turns, strict=True)]


def medians(runs: Iterable[DryRun]) -> DryRun:
    """Medians over runs that count the same jobs."""
    return DryRun(*map(statistics.median, zip(*runs, strict=True)))


def rows_of(growth: str) -> list[dict[str, Any]]:
    """How long 10,000 jobs take, and how the time grows from 5,000 to 10,000."""
    few, many = measure(growth)
    note = (
        f"median of {TURNS} turns: {few.jobs} jobs in {few.seconds:.1f} s ({few.cpu_seconds:.1f} s "
        f"of CPU), {many.jobs} in {many.seconds:.1f} s ({many.cpu_seconds:.1f}); the demo's grid "
        f"with more {growth}; the whole command"
    )
    return [
        make_row(
            f"dry_run_10000_jobs_by_{growth}", many.seconds, LIMIT, "s", f"peer: limit; {note}"
        ),
        make_row(
            f"dry_run_growth_by_{growth}",
            many.seconds / few.seconds,
            many.jobs / few.jobs,
            "times",
            f"seconds of the larger dry run over the smaller's; peer: their jobs, linear; {note}",
        ),
    ]


def dry_run_rows() -> list[dict[str, Any]]:
    """All rows of dry runs."""
    return [make_row for growth in SIZES for make_row in rows_of(growth)]
