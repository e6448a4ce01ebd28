"""Summary: every measurement of the grid as one row, its headline, and what every job cost."""

from __future__ import annotations

from rebar.config.file import Config
from rebar.jobs.job import Job
from rebar.jobs.manifest import write_text
from rebar.reporting.measures.aggregate import gather
from rebar.reporting.measures.cells import find_collapsed, read_measured, summary_csv
from rebar.reporting.measures.costs import costs_csv, read_costs
from rebar.reporting.measures.headline import headline, headline_csv, metrics_text


def run(job: Job) -> None:
    """Recompute all values from the stored answers; write the .csv files and metrics.json."""
    config = Config(**job.settings)
    measured = read_measured(job.root, config)
    collapsed = find_collapsed(config, measured)
    write_text(job.root / "summary.csv", summary_csv(measured, collapsed))
    entries = headline(gather(config, measured, collapsed))
    write_text(job.root / "metrics.json", metrics_text(entries))
    write_text(job.root / "headline.csv", headline_csv(entries))
    write_text(job.root / "costs.csv", costs_csv(read_costs(job.root, config)))
