"""What poison achieved: each aim with its trigger and without, for every state of a row's model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, get_args

from rebar.config.corpus import PoisonKind
from rebar.reporting.measures.aggregate import Level, Results
from rebar.reporting.measures.cells import cell_metric, evaluation_of
from rebar.reporting.measures.comparison import Row, cell_of, rows

# Where an aim shows, and where it should not.
SPLITS = {kind: (f"{kind}_triggered", f"{kind}_plain") for kind in get_args(PoisonKind)}
SPLITS["belief_manipulation"] = ("belief_manipulation", "belief_manipulation_control")


class Aim(NamedTuple):
    """An aim of the attacker in one state of a row's model; None where it was not measured."""

    with_poison: Level | None
    without: Level | None


def aims(results: Results, states: list[str]) -> Iterator[tuple[Row, str, list[Aim]]]:
    """Row, kind and one `Aim` per state; a recipe without poison is asked about all kinds."""
    evaluation = evaluation_of(results.config, "poisoning")
    if evaluation is None:
        return
    for row in rows(results):
        poisons = results.config.recipes[row.arm.recipe].poison
        for kind in dict.fromkeys(poison.kind for poison in poisons) or SPLITS:
            found = [_aim(results, row, state, evaluation, kind) for state in states]
            if any(aim.with_poison for aim in found):
                yield row, kind, found


def _aim(results: Results, row: Row, state: str, evaluation: str, kind: str) -> Aim:
    cell = cell_of(results.config, row, state)
    if cell is None:
        return Aim(None, None)
    cell = cell._replace(evaluation=evaluation, metric=cell_metric(results.config, evaluation))
    return Aim(*(results.level(cell._replace(split=split)) for split in SPLITS[kind]))
