"""`report.html`: one self-contained page that opens offline, from `page.html.j2` and `page.css`.

Figures are inlined as PNG (the SVG files are several times as large). The page holds numbers
only: no prompt, answer or phrase.
"""

from __future__ import annotations

import base64
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from rebar.reporting.measures.conditions import ArmMeasure
from rebar.reporting.measures.costs import Cost
from rebar.reporting.measures.exposure import HEADERS, Exposure, shown
from rebar.reporting.measures.orderings import RULE, own_comparisons, paper_comparisons
from rebar.reporting.measures.poisoning import aims
from rebar.reporting.measures.probe_rows import Number
from rebar.reporting.measures.resistance import Resistance
from rebar.reporting.measures.safeguard_costs import safeguard_costs
from rebar.reporting.tables.condition_table import READING as CONDITIONS_READING
from rebar.reporting.tables.condition_table import condition_tables
from rebar.reporting.tables.findings_text import cost_sentence, finding_sentences
from rebar.reporting.tables.further import READING, tables
from rebar.reporting.tables.probe_table import scalar_table
from rebar.reporting.tables.text import JUDGES, ROLE_OF, difference_text, trust_text

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE, STYLE = (Path(__file__).with_name(f"page.{kind}") for kind in ("html.j2", "css"))
LADDER = "ladder"


class Background(NamedTuple):
    """The numbers that the page shows beside the comparison."""

    exposures: list[Exposure]
    cards: list[Card]
    costs: list[Cost]
    forwards_per_step: dict[str, float]
    probed: list[Number]
    resistances: list[Resistance]
    conditions: Sequence[ArmMeasure] = ()
    notes: Sequence[str] = ()


class PaperRow(NamedTuple):
    """A model of the paper, its numbers by column, and our cells where the grid has them."""

    label: str
    quotes: list[paper.Quote | None]
    ours: list[Any]


def page_html(results: Results, background: Background, figures: list[Drawn]) -> str:
    """The whole page."""
    template = _environment().from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        config=results.config,
        **_found(results, background, figures),
        **_comparison(results, background),
        **_paper(results),
        **_figures(figures),
        **_bench(results, background),
        **_details(results, background),
    )


def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "state": state_label, "arm": arm_label}
    return environment


def _found(results: Results, background: Background, figures: list[Drawn]) -> dict[str, Any]:
    """What the page opens with: the ladder, what was found, what it cost."""
    from markupsafe import Markup

    return {
        "css": Markup(STYLE.read_text(encoding="utf-8")),  # ours: nothing in it is escaped
        "ladder": [(f, _inlined(f)) for f in figures if f.name == LADDER],
        "findings": finding_sentences(results),
        "seeds_sentence": seeds_sentence(results),
        "cost_sentence": cost_sentence(background.costs),
    }


def _comparison(results: Results, background: Background) -> dict[str, Any]:
    """The table of arms and states, and what each recipe was trained on."""
    columns = states(results)
    return {
        "states": columns,
        "lines": [(row, [view(results, row, s) for s in columns]) for row in rows(results)],
        "trust": {role: trust_text(results, role).removeprefix(", ") for role in ROLE_OF.values()},
        "notes": background.notes,
        "exposures": {e.recipe: e for e in background.exposures},
        "exposure_headers": HEADERS,
        "exposure_numbers": shown,
    }


def _paper(results: Results) -> dict[str, Any]:
    """The paper's numbers and orderings beside ours, and our own controls."""
    return {
        "paper": paper,
        "paper_rows": paper_rows(results),
        "rule": RULE,
        "comparisons": paper_comparisons(results),
        "own": own_comparisons(results),
        "named": lambda cell: _named(results, cell),
        "difference_text": difference_text,
        "harmful": any(state.startswith("harmful_finetune") for state in states(results)),
    }


def _figures(figures: list[Drawn]) -> dict[str, Any]:
    """All figures but the ladder, those of the loss landscape apart."""
    inlined = [(f, _inlined(f)) for f in figures if f.name != LADDER]
    return {
        "figures": [(f, source) for f, source in inlined if f.name not in PROBE_FIGURES],
        "landscapes": [(f, source) for f, source in inlined if f.name in PROBE_FIGURES],
    }


def _bench(results: Results, background: Background) -> dict[str, Any]:
    """Tamper resistance: the four conditions, costs to break, what safeguards cost."""
    safeguards = safeguard_costs(results.config, background.costs)
    return {
        "conditions": condition_tables(background.conditions),
        "conditions_reading": CONDITIONS_READING,
        "resistances": background.resistances,
        "watch": results.config.cost_to_break,
        "infinity": math.inf,
        "safeguards": safeguards,
        "cost_of": {cost.arm: cost for cost in safeguards},
    }


def _details(results: Results, background: Background) -> dict[str, Any]:
    """What is folded at the end of the page."""
    return {
        "further": list(tables(results)),
        "further_reading": READING,
        "poisoned": list(aims(results, states(results))),
        "audit": results.audit,
        "judges_text": JUDGES,
        "probed": scalar_table(background.probed),
        "cards": background.cards,
        "levels": list(LEVELS),
        "phrase_words": PHRASE_WORDS,
        "costs": _costs_by_stage(background.costs),
        "forwards": background.forwards_per_step,
    }


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
    """The paper's table, one line per model, beside our cells of the same names."""
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
