"""`report.html`: one self-contained page that opens offline, from `page.html.j2`.

Figures are inlined as PNG (the SVG files are several times as large). The page holds numbers
only: no prompt, answer or phrase.
"""

from __future__ import annotations

import base64
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rebar.jobs.formats import percent
from rebar.reporting.figures.figures import Drawn
from rebar.reporting.figures.probe_plots import PROBE_FIGURES
from rebar.reporting.measures import paper
from rebar.reporting.measures.aggregate import Results
from rebar.reporting.measures.card import LEVELS, PHRASE_WORDS, Card
from rebar.reporting.measures.cells import decoder_of
from rebar.reporting.measures.comparison import (
    Row,
    arm_label,
    beside,
    is_shown,
    rows,
    seeds_sentence,
    state_label,
    states,
    success_cell,
    view,
)
from rebar.reporting.measures.conditions import Entry
from rebar.reporting.measures.costs import Cost
from rebar.reporting.measures.exposure import HEADERS, Exposure, shown
from rebar.reporting.measures.orderings import RULE, own_comparisons, paper_comparisons
from rebar.reporting.measures.poisoning import aims
from rebar.reporting.measures.probe_rows import Number
from rebar.reporting.measures.resistance import Resistance
from rebar.reporting.measures.safeguard_costs import safeguard_costs
from rebar.reporting.tables.condition_table import READING as CONDITIONS_READING
from rebar.reporting.tables.condition_table import condition_tables
from rebar.reporting.tables.further import READING, tables
from rebar.reporting.tables.probe_table import scalar_table
from rebar.reporting.tables.text import JUDGES, ROLE_OF, difference_text, trust_text

TEMPLATE = Path(__file__).with_name("page.html.j2")


class Background(NamedTuple):
    """What stands around the comparison."""

    exposures: list[Exposure]
    cards: list[Card]
    costs: list[Cost]
    forwards_per_step: dict[str, float]
    probed: list[Number]
    resistances: list[Resistance]
    conditions: Sequence[Entry] = ()
    notes: Sequence[str] = ()


class PaperRow(NamedTuple):
    """A model of the paper, its numbers by column, and our cells where the grid has them."""

    label: str
    quotes: list[paper.Quote | None]
    ours: list[Any]


def page_html(results: Results, background: Background, figures: list[Drawn]) -> str:
    """The whole page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "state": state_label, "arm": arm_label}
    columns = states(results)
    exposures = {e.recipe: e for e in background.exposures}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        config=results.config,
        seeds_sentence=seeds_sentence(results),
        states=columns,
        lines=[(row, [view(results, row, state) for state in columns]) for row in rows(results)],
        exposures=exposures,
        exposure_headers=HEADERS,
        exposure_numbers=shown,
        further=list(tables(results)),
        further_reading=READING,
        poisoned=list(aims(results, columns)),
        paper=paper,
        paper_rows=paper_rows(results),
        rule=RULE,
        comparisons=paper_comparisons(results),
        own=own_comparisons(results),
        named=lambda cell: _named(results, cell),
        difference_text=difference_text,
        figures=[(f, _inlined(f)) for f in figures if f.name not in PROBE_FIGURES],
        landscapes=[(f, _inlined(f)) for f in figures if f.name in PROBE_FIGURES],
        resistances=background.resistances,
        watch=results.config.cost_to_break,
        infinity=math.inf,
        probed=scalar_table(background.probed),
        cards=background.cards,
        levels=list(LEVELS),
        phrase_words=PHRASE_WORDS,
        audit=results.audit,
        trust={name: trust_text(results, name).removeprefix(", ") for name in ROLE_OF.values()},
        judges_text=JUDGES,
        costs=_costs_by_stage(background.costs),
        safeguards=(safeguards := safeguard_costs(results.config, background.costs)),
        conditions=condition_tables(background.conditions),
        conditions_reading=CONDITIONS_READING,
        cost_of={cost.arm: cost for cost in safeguards},
        forwards=background.forwards_per_step,
        notes=background.notes,
        harmful=any(state.startswith("harmful_finetune") for state in columns),
    )


def _named(results: Results, cell: Any) -> dict[str, Any]:
    """A compared cell with what must stand beside it."""
    over_refusal, capability = beside(results, cell)
    return {
        "label": Row(cell.arm, cell.decoder).label,
        "success": results.level(cell),
        "over_refusal": over_refusal,
        "capability": capability,
    }


def _inlined(figure: Drawn) -> str:
    return "data:image/png;base64," + base64.b64encode(figure.png.read_bytes()).decode()


def paper_rows(results: Results) -> list[PaperRow]:
    """The paper's table, a line a model, beside our cells of the same names."""
    config = results.config
    models = dict.fromkeys((q.recipe, q.decoder, q.alignment) for q in paper.QUOTES)
    lines = []
    for recipe, method, alignment in models:
        quotes = [paper.quoted(recipe, method, s, alignment) for s in paper.STATES]
        ours = []
        for state in paper.STATES:
            row = Row(_arm(results, recipe, alignment, state), decoder_of(config, method))
            attack = state if state == paper.BENIGN else "none"
            cell = success_cell(config, row.arm, attack, row.decoder)
            ours.append(_named(results, cell) if is_shown(results, cell) else None)
        label = " + ".join(x for x in (recipe, alignment, "SafeBeam" * (method == "safebeam")) if x)
        lines.append(PaperRow(label, quotes, ours))
    return [line for line in lines if any(line.ours)]


def _arm(results: Results, recipe: str, alignment: str | None, state: str) -> Any:
    from rebar.grid import Arm

    if state == paper.BASE:
        return Arm(recipe, "none", "none")
    return Arm(recipe, "none", alignment or results.config.report.control_alignment)


def _costs_by_stage(costs: list[Cost]) -> list[tuple[str, int, float, float]]:
    """Stage, jobs, seconds in all, highest peak MB."""
    by_stage: dict[str, list[Cost]] = defaultdict(list)
    for cost in costs:
        by_stage[cost.stage].append(cost)
    return [
        (stage, len(jobs), sum(c.seconds for c in jobs), max(c.peak_mb for c in jobs))
        for stage, jobs in by_stage.items()
    ]
