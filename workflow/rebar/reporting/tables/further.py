"""What was measured beside the comparison: other evaluations, and over-refusal by its classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rebar.config.file import Config
from rebar.config.kinds import Role
from rebar.reporting.measures.aggregate import Level, Results
from rebar.reporting.measures.cells import (
    COMPLY,
    OVER_REFUSE,
    OVER_REFUSED,
    Cell,
    evaluation_of,
)
from rebar.reporting.measures.comparison import (
    Row,
    beside,
    cell_of,
    is_shown,
    rows,
    state_label,
    states,
)

COMPARED: tuple[Role, ...] = ("compliance", "knowledge", "over_refusal", "capability")
ELSEWHERE: Role = "poisoning"  # it has a table of its own
READING = (
    "Shares of answers in %, with their 95 % intervals; attack success with over-refusal and "
    "capability of the same model behind it; † collapsed. All metrics: table.csv."
)


class ShownLevel(NamedTuple):
    """A number with what must stand beside it: nothing, or over-refusal and capability."""

    level: Level
    beside: tuple[Level, ...]


class Line(NamedTuple):
    """One metric of one split of an evaluation for a row's model, an entry per state."""

    row: Row
    split: str
    metric: str
    entries: list[ShownLevel | None]


class Table(NamedTuple):
    """An evaluation, and the states in which it was asked."""

    evaluation: str
    states: list[str]
    lines: list[Line]

    @property
    def header(self) -> list[str]:
        """Titles of the columns."""
        return ["arm, decoder", "split", "measure", *map(state_label, self.states)]


def tables(results: Results) -> Iterator[Table]:
    """One table an evaluation, in the order of the config."""
    columns = states(results)
    for evaluation in results.config.evaluations:
        lines = list(_lines(results, evaluation, columns))
        asked = [i for i in range(len(columns)) if any(line.entries[i] for line in lines)]
        if asked:
            kept = [line._replace(entries=[line.entries[i] for i in asked]) for line in lines]
            yield Table(evaluation, [columns[i] for i in asked], kept)


def _lines(results: Results, evaluation: str, columns: list[str]) -> Iterator[Line]:
    wanted = _metrics(results.config, evaluation)
    measured = dict.fromkeys(
        (cell.split, cell.metric)
        for cell in results.measured
        if cell.evaluation == evaluation and cell.metric in wanted and "/" not in cell.split
    )
    for row in rows(results):
        for split, metric in measured:
            if split == "all" or evaluation not in _compared(results.config):
                names = {"evaluation": evaluation, "split": split, "metric": metric}
                cells = [cell_of(results.config, row, state) for state in columns]
                entries = [
                    _entry(results, cell._replace(**names)) if cell else None for cell in cells
                ]
                if any(entries):
                    yield Line(row, split, metric, entries)


def _compared(config: Config) -> list[str | None]:
    return [evaluation_of(config, role) for role in COMPARED]


def _metrics(config: Config, evaluation: str) -> tuple[str, ...]:
    """Metrics that are worth a line: the evaluation's first and its chance, or the classes."""
    setting = config.evaluations[evaluation]
    if setting.role == ELSEWHERE:
        return ()
    classes = (OVER_REFUSED, *COMPLY, *OVER_REFUSE) if setting.has_classes else ()
    if evaluation in _compared(config):
        return classes
    own = setting.metrics
    return (own[0], *(name for name in own if name == "chance"), *classes)


def _entry(results: Results, cell: Cell) -> ShownLevel | None:
    level = results.level(cell)
    if level is None:
        return None
    if cell.metric != "attack_success":
        return ShownLevel(level, ())
    others = beside(results, cell)
    return ShownLevel(level, tuple(x for x in others if x)) if is_shown(results, cell) else None
