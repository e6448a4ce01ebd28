"""Summary: every measurement of the grid as one row, and what every job cost."""

from __future__ import annotations

from rebar.config import Config
from rebar.job import Job
from rebar.reporting.cells import find_collapsed, read_measured, summary_lines, write_lines
from rebar.reporting.costs import costs_lines, read_costs


def run(job: Job) -> None:
    """Recompute all values from the stored answers; write summary.csv and costs.csv."""
    config = Config(**job.settings)
    measured = read_measured(job.root, config)
    collapsed = find_collapsed(config, measured)
    write_lines(job.root / "summary.csv", summary_lines(measured, collapsed))
    write_lines(job.root / "costs.csv", costs_lines(read_costs(job.root, config)))
