"""Report: the comparison table, the paper beside it, figures, and a page that opens offline."""

from __future__ import annotations

from rebar import grid
from rebar.config.file import Config
from rebar.jobs.job import Job
from rebar.jobs.manifest import write_text
from rebar.reporting.figures.figures import draw_figures
from rebar.reporting.measures.aggregate import Results, gather, table_csv
from rebar.reporting.measures.audit import read_audit
from rebar.reporting.measures.breaks import breaks_csv, find_breaks, read_trajectories
from rebar.reporting.measures.card import read_card
from rebar.reporting.measures.cells import find_collapsed, read_measured, summary_csv
from rebar.reporting.measures.comparison import check_headline
from rebar.reporting.measures.conditions import Bench, conditions, conditions_csv
from rebar.reporting.measures.costs import forwards_per_step, read_costs
from rebar.reporting.measures.exposure import exposures
from rebar.reporting.measures.memory import memory_sentences
from rebar.reporting.measures.probe_rows import probes_csv, read_numbers
from rebar.reporting.measures.resistance import resistance_csv, resistances
from rebar.reporting.measures.searches import read_searches
from rebar.reporting.page import Background, page_html
from rebar.reporting.tables.text import table_text


def run(job: Job) -> None:
    """Write the tables, figures/ and report.html."""
    config = Config(**job.settings)
    measured = read_measured(job.root, config)
    results = gather(config, measured, find_collapsed(config, measured))
    _check_summary(job, results)
    results = results._replace(audit=read_audit(job.root / grid.AUDIT))
    check_headline(results)
    trajectories = read_trajectories(job.root, config)
    breaks = find_breaks(trajectories, config.cost_to_break)
    numbers = read_numbers(job.root, config)
    entries = conditions(Bench(results, breaks, numbers))
    background = Background(
        exposures(job.root, config),
        [read_card(job.root, config, seed) for seed in config.seeds]
        if grid.training_recipes(config)
        else [],
        read_costs(job.root, config),
        forwards_per_step(job.root, config),
        numbers,
        resistances(config, breaks),
        entries,
        memory_sentences(job.root, config),
    )
    bench = (trajectories, read_searches(job.root, config))
    folder = job.root / "figures"
    figures = draw_figures(results, background.cards, background.probed, bench, folder)
    write_text(job.root / "breaks.csv", breaks_csv(breaks))
    write_text(job.root / "resistance.csv", resistance_csv(background.resistances))
    write_text(job.root / "conditions.csv", conditions_csv(entries))
    write_text(job.root / "table.csv", table_csv(results))
    write_text(job.root / "probes.csv", probes_csv(job.root, config))
    table = table_text(results, background.exposures, background.notes, entries)
    write_text(job.root / "table.md", table)
    write_text(job.root / "report.html", page_html(results, background, figures))


def _check_summary(job: Job, results: Results) -> None:
    """ValueError if summary.csv differs from the values that the report would show."""
    path = job.root / "summary.csv"
    expected = summary_csv(results.measured, results.collapsed)
    if not path.exists() or path.read_text(encoding="utf-8") != expected:
        raise ValueError(
            f"{path} does not hold the values of the stored answers; remake it: "
            f"snakemake --profile profiles/local --force -- {path}"
        )
