"""The single numbers of probes (VISAGE, sharpness, curvature, barriers, d90) as a table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from rebar.grid import Arm
from rebar.reporting.measures.probe_rows import Number

ERRORS = ("_error", "_residual")  # a number of this name belongs to the one without it


class SeedRange(NamedTuple):
    """A number of one arm over its seeds; `error` is the mean error of the estimates."""

    mean: float
    lowest: float
    highest: float
    num_seeds: int
    error: float | None


class Line(NamedTuple):
    """One kind of number with its value for each arm (None where it was not measured)."""

    probe: str
    metric: str
    loss: str
    direction: str
    entries: list[SeedRange | None]


def scalar_table(numbers: Sequence[Number]) -> tuple[list[Arm], list[Line]]:
    """All arms that were probed, and one line per number that belongs to no path or plane."""
    values: dict[tuple[str, str, str, str], dict[Arm, list[float]]] = {}
    for number in numbers:
        if math.isnan(number.alpha) and math.isnan(number.dimension):
            key = (number.probe, number.metric, number.loss, number.direction)
            values.setdefault(key, defaultdict(list))[number.arm].append(number.value)
    arms = list(dict.fromkeys(number.arm for number in numbers))
    lines = []
    for (probe, metric, loss, direction), by_arm in values.items():
        if not metric.endswith(ERRORS):
            errors = [values.get((probe, metric + e, loss, direction), {}) for e in ERRORS]
            entries = [_entry(by_arm[arm], [e[arm] for e in errors if arm in e]) for arm in arms]
            lines.append(Line(probe, metric, loss, direction, entries))
    return arms, lines


def _entry(values: list[float], errors: list[list[float]]) -> SeedRange | None:
    if not values:
        return None
    found = [error for several in errors for error in several]
    error = sum(found) / len(found) if found else None
    return SeedRange(sum(values) / len(values), min(values), max(values), len(values), error)
