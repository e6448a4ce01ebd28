"""What a grid found: at most three comparisons, chosen by rule and never by their outcome.

The questions, in this order: harmless fine-tuning, adversarial attacks, safeguards, unattacked
models; the first three that the grid can answer are shown. Among the attacks of a question, the one
with the highest mean attack success over arms is taken: the worst case. Among arms, the one that
lies lowest against its control. It was picked as the best of several, so that from five seeds on it
counts only if its p-value, corrected by Holm for the number of arms, is under 0.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import NamedTuple

from rebar.config.base import NONE
from rebar.reporting.measures.aggregate import OVER_SEEDS, Difference, Results, control_of
from rebar.reporting.measures.cells import Cell
from rebar.reporting.measures.comparison import Row, cell_of, is_shown, rows, states
from rebar.reporting.measures.resistance import is_benign
from rebar.reporting.measures.statistics import CONFIDENCE, holm

MOST = 3
HARMLESS, ADVERSARIAL, SAFEGUARDS, UNATTACKED = (
    "harmless",
    "adversarial",
    "safeguards",
    "unattacked",
)


class Pair(NamedTuple):
    """A cell and the control that it is compared with, whole in at least one seed."""

    first: Cell
    control: Cell
    difference: Difference


class Finding(NamedTuple):
    """The arm that lies lowest against its control in the worst state of a question."""

    question: str
    state: str
    num_states: int  # that the question had
    best: Pair
    num_arms: int  # that were compared
    is_told: bool  # the interval, and from five seeds on Holm's p-value, exclude no difference

    @property
    def is_over_seeds(self) -> bool:
        """True from five seeds on, where there is a verdict."""
        return self.best.difference.basis == OVER_SEEDS


def find_findings(results: Results) -> list[Finding]:
    """The first three questions that have an answer."""
    return list(_all_findings(results))[:MOST]


def _all_findings(results: Results) -> Iterator[Finding]:
    attacks = [state for state in states(results) if state not in ("base", "aligned")]
    harmless = [name for name in attacks if is_benign(results.config, name)]
    adversarial = [name for name in attacks if name not in harmless]
    for question, asked in (
        (HARMLESS, harmless),
        (ADVERSARIAL, adversarial),
        (SAFEGUARDS, adversarial),
        (UNATTACKED, [s for s in ("aligned", "base") if s in states(results)][:1]),
    ):
        found = {state: _pairs(results, state, question) for state in asked}
        found = {state: pairs for state, pairs in found.items() if pairs}
        if found:
            worst = max(found, key=lambda state: _mean_success(results, found[state]))
            yield _finding(question, worst, len(found), found[worst])


def _pairs(results: Results, state: str, question: str) -> list[Pair]:
    """All arms of a state beside their controls: of safeguards their twins, else the grid's."""
    pairs = []
    for row in rows(results):
        first = cell_of(results.config, row, state)
        if first is None or (question == SAFEGUARDS) != (row.arm.safeguard != NONE):
            continue
        control = _control(results, first, question)
        if control is None or not (is_shown(results, first) and is_shown(results, control)):
            continue
        difference = results.difference(first, control)
        if difference is not None:
            pairs.append(Pair(first, control, difference))
    return pairs


def _control(results: Results, cell: Cell, question: str) -> Cell | None:
    if question == SAFEGUARDS:
        return cell._replace(arm=cell.arm._replace(safeguard=NONE))
    return control_of(results.config, cell, results.measured)


def _mean_success(results: Results, pairs: Iterable[Pair]) -> float:
    cells = {cell for pair in pairs for cell in (pair.first, pair.control)}
    return fmean(results.levels[cell].interval.value for cell in cells)


def _finding(question: str, state: str, num_states: int, pairs: list[Pair]) -> Finding:
    best = min(pairs, key=lambda pair: pair.difference.interval.value)
    interval = best.difference.interval
    is_told = not interval.low <= 0 <= interval.high
    tested = [pair for pair in pairs if pair.difference.p_value is not None]
    if best in tested:
        corrected = holm([pair.difference.p_value or 0.0 for pair in tested])
        is_told = is_told and corrected[tested.index(best)] < 1 - CONFIDENCE
    return Finding(question, state, num_states, best, len(pairs), is_told)


def row_of(cell: Cell) -> Row:
    """The row of the comparison that a cell stands in."""
    return Row(cell.arm, cell.decoder)
