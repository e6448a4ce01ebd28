"""Report: the comparison table, the paper beside it, figures, and a page that opens offline."""

from __future__ import annotations

from rebar import grid
from rebar.config import Config
from rebar.job import Job
from rebar.manifest import write_text
from rebar.reporting.aggregate import Results, gather, table_lines
from rebar.reporting.card import read_card
from rebar.reporting.cells import (
    find_collapsed,
    read_measured,
    summary_lines,
    write_lines,
)
from rebar.reporting.comparison import check_headline
from rebar.reporting.costs import forwards_per_step, read_costs
from rebar.reporting.exposure import exposures
from rebar.reporting.figures import draw_figures
from rebar.reporting.memory import memory_sentences
from rebar.reporting.page import Background, page_html
from rebar.reporting.text import table_text


def run(job: Job) -> None:
    """Write table.csv, table.md, figures/ and report.html."""
    config = Config(**job.settings)
    measured = read_measured(job.root, config)
    results = gather(config, measured, find_collapsed(config, measured))
    _check_summary(job, results)
    check_headline(results)
    background = Background(
        exposures(job.root, config),
        [read_card(job.root, config, seed) for seed in config.seeds]
        if grid.training_recipes(config)
        else [],
        read_costs(job.root, config),
        forwards_per_step(job.root, config),
        memory_sentences(job.root, config),
    )
    figures = draw_figures(results, background.cards, job.root / "figures")
    write_lines(job.root / "table.csv", table_lines(results))
    write_text(job.root / "table.md", table_text(results, background.exposures, background.notes))
    write_text(job.root / "report.html", page_html(results, background, figures))


def _check_summary(job: Job, results: Results) -> None:
    """The report shows what summary.csv holds, or nothing."""
    path = job.root / "summary.csv"
    expected = "".join(f"{line}\n" for line in summary_lines(results.measured, results.collapsed))
    if not path.exists() or path.read_text(encoding="utf-8") != expected:
        raise ValueError(
            f"{path} does not hold the values of the stored answers; remake it: "
            f"snakemake --profile profiles/local --force -- {path}"
        )
