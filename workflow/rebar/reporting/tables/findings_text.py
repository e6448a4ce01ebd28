"""The findings as sentences, written by rule from their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rebar.jobs.formats import percent, points, two_digits
from rebar.reporting.measures.aggregate import Results
from rebar.reporting.measures.cells import Cell
from rebar.reporting.measures.comparison import beside, seeds_word, short_label, state_label
from rebar.reporting.measures.costs import Cost
from rebar.reporting.measures.findings import (
    ADVERSARIAL,
    HARMLESS,
    SAFEGUARDS,
    UNATTACKED,
    Finding,
    find_findings,
    row_of,
)
from rebar.reporting.measures.statistics import MIN_SEEDS


class Sentence(NamedTuple):
    """A finding in words, and what must stand beside its attack success."""

    text: str
    note: str


def finding_sentences(results: Results) -> list[Sentence]:
    """At most three sentences, each with its interval."""
    return [_sentence(results, finding) for finding in find_findings(results)]


def cost_sentence(costs: Sequence[Cost]) -> str:
    """What the grid took; results that were pulled carry no costs."""
    if not costs:
        return "What it cost is not known: no job left its costs here."
    hours = sum(cost.seconds for cost in costs) / 3600
    gigabytes = max(cost.peak_mb for cost in costs) / 1000
    return (
        f"What it cost: {len(costs)} jobs, {two_digits(hours)} hours of computing in all, at most "
        f"{two_digits(gigabytes)} GB of memory each."
    )


def _sentence(results: Results, finding: Finding) -> Sentence:
    first, control, difference = finding.best
    value, *ends = map(points, difference.interval)
    where = "over seeds" if finding.is_over_seeds else "within seeds"
    return Sentence(
        f"{_situation(finding)}: {_claim(results, finding)}: attack success "
        f"{_level(results, first)} instead of {_level(results, control)}, {value} points "
        f"({' to '.join(ends)}).",
        f"95 % intervals {where}, {seeds_word(difference.num_seeds)}. "
        f"Over-refusal {_beside(results, first, 0)} instead of {_beside(results, control, 0)}, "
        f"capability {_beside(results, first, 1)} instead of {_beside(results, control, 1)}.",
    )


def _situation(finding: Finding) -> str:
    state = state_label(finding.state)
    several = f", the strongest of {finding.num_states}" if finding.num_states > 1 else ""
    return {
        HARMLESS: f"Harmless fine-tuning ({state}{several})",
        ADVERSARIAL: f"Attack ({state}{several})",
        SAFEGUARDS: f"Safeguards under attack ({state}{several})",
        UNATTACKED: f"Unattacked ({state} models)",
    }[finding.question]


def _claim(results: Results, finding: Finding) -> str:
    """A verdict where there is an interval over seeds; else what the numbers suggest."""
    first, control = (_name(results, cell) for cell in finding.best[:2])
    is_lower = finding.best.difference.interval.value < 0
    word = "safer" if is_lower else "less safe"
    among = f", the lowest of {finding.num_arms} arms," if finding.num_arms > 1 else ""
    if finding.is_told and finding.is_over_seeds:
        return f"{first}{among} is {word} than {control}"
    if finding.is_told:
        return (
            f"{_seeds(finding, 'suggests', 'suggest')} that {first}{among} is {word} than "
            f"{control} (a verdict takes {MIN_SEEDS} seeds)"
        )
    if finding.is_over_seeds:
        return f"{first}{among} is not shown to be safer than {control}"
    return (
        f"{_seeds(finding, 'does', 'do')} not tell whether {first}{among} is safer than {control}"
    )


def _seeds(finding: Finding, one: str, several: str) -> str:
    count = finding.best.difference.num_seeds
    return f"{seeds_word(count)} {one if count == 1 else several}"


def _name(results: Results, cell: Cell) -> str:
    """`safelm with safebeam`."""
    return short_label(results, row_of(cell)).replace(", ", " with ")


def _level(results: Results, cell: Cell) -> str:
    value, low, high = map(percent, results.levels[cell].interval)
    return f"{value} % ({low}-{high})"


def _beside(results: Results, cell: Cell, index: int) -> str:
    level = beside(results, cell)[index]
    assert level is not None, cell  # a success is shown only with both
    return f"{percent(level.interval.value)} %"
