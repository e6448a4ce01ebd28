"""The table of the four conditions: arms in lines, their twins first, measures in columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rebar.config.base import NONE
from rebar.grid import Arm
from rebar.reporting.measures.conditions import STEPS, ArmMeasure, Measure, selectivity
from rebar.reporting.measures.statistics import over_seeds

READING = (
    "Each arm has its level (mean over seeds, geometric for steps; ≥ where a budget ended before a "
    "model was broken) and the difference to its undefended twin, paired by seed. From five seeds "
    "on this is a mean with its 95 % interval, with fewer one number per seed. Steps differ in "
    "log10: +1 is ten times as many. Shares are those of the greedy decoder, without "
    "collapsed models. Selectivity is the gain under harmful fine-tuning minus the slow-down of a "
    "benign task. Shared hazards: the attacker trains on the safeguard's own hazards. p-values, "
    "corrected by Holm over arms, are in conditions.csv."
)


class ShownCell(NamedTuple):
    """A cell of the table: the arm's level, and its difference to the twin's."""

    level: str
    difference: str
    is_better: bool | None  # None: the interval does not tell


def shown(entry: ArmMeasure) -> ShownCell:
    """Mean over seeds with its bound; the difference with its interval, or one per seed."""
    numbers = [value.number for value in entry.values.values()]
    if not numbers:
        return ShownCell("", "", None)
    bound = "≥" if any(value.is_bound for value in entry.values.values()) else ""
    unit = entry.measure.unit
    mean = 10 ** fmean(map(math.log10, numbers)) if unit == STEPS else fmean(numbers)
    level = f"{bound}{_short(mean, unit)}"
    differences = list(entry.differences.values())
    if not differences:
        return ShownCell(level, "", None)
    if entry.interval is None:
        return ShownCell(level, " ".join(_signed(x, unit) for x in differences), None)
    low, high = entry.interval.low, entry.interval.high
    value, *ends = (_signed(x, unit) for x in entry.interval)
    text = f"{value} ({'..'.join(ends)})"
    is_told = low > 0 or high < 0
    return ShownCell(level, text, (low > 0) == entry.measure.more_is_better if is_told else None)


def _short(number: float, unit: str) -> str:
    return f"{number:.2f}" if unit == "nats" else f"{number:.3g}"


def _signed(number: float, unit: str) -> str:
    return f"{number:+.0f}" if unit == "%" else f"{number:+.2f}"


class ConditionTable(NamedTuple):
    """One recipe and alignment: one line per arm, twins first, and one column per measure."""

    title: str
    measures: list[Measure]
    lines: list[tuple[Arm, list[ShownCell], str]]  # the last is the selectivity

    @property
    def conditions(self) -> dict[str, int]:
        """Headers above those of the measures: how many columns each condition has."""
        names = [measure.condition for measure in self.measures]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def condition_tables(entries: Sequence[ArmMeasure]) -> list[ConditionTable]:
    """Tables for the page, in the order of the grid."""
    groups = dict.fromkeys((entry.arm.recipe, entry.arm.alignment) for entry in entries)
    return [_table(entries, recipe, alignment) for recipe, alignment in groups]


def _table(entries: Sequence[ArmMeasure], recipe: str, alignment: str) -> ConditionTable:
    here = [e for e in entries if (e.arm.recipe, e.arm.alignment) == (recipe, alignment)]
    arms = sorted(dict.fromkeys(e.arm for e in here), key=lambda arm: arm.safeguard != NONE)
    names = dict.fromkeys((e.measure.condition, e.measure.name) for e in here if e.values)
    by_name: dict[Any, ArmMeasure] = {(e.arm, e.measure.condition, e.measure.name): e for e in here}
    lines = [
        (arm, [shown(by_name[arm, *name]) for name in names], _told(selectivity(here, arm)))
        for arm in arms
    ]
    measures = [by_name[arms[0], *name].measure for name in names]
    return ConditionTable(f"{recipe} + {alignment}", measures, lines)


def _told(values: Mapping[int, float]) -> str:
    interval = over_seeds(list(values.values()))
    if interval is None:
        return " ".join(f"{value:+.2f}" for value in values.values())
    return "{:+.2f} ({:+.2f}..{:+.2f})".format(*interval)
