"""From one number per seed to one per cell, and to differences from a control.

From five seeds on, intervals are over seeds (Student's t; differences paired by seed). With fewer,
the hazards of all seeds are pooled, each seed with equal weight, and the result says that its
interval is within seeds. Seeds in which a cell collapsed are left out of differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.grid import Arm
from rebar.jobs.formats import csv_text, read_csv, six_decimals
from rebar.reporting.measures.audit import Agreement, beside
from rebar.reporting.measures.cells import Cell, Collapsed, Counts, Measured, greedy
from rebar.reporting.measures.statistics import (
    Interval,
    holm,
    over_seeds,
    paired_difference,
    paired_p_value,
    share,
)

OVER_SEEDS, WITHIN_SEEDS = "over seeds", "within seeds"


class Level(NamedTuple):
    """The mean of a cell over its seeds; `basis` says what the interval is over."""

    interval: Interval
    num_seeds: int
    basis: str
    num_collapsed: int


class Difference(NamedTuple):
    """First minus second over the seeds in which neither collapsed; p-value from five seeds on."""

    interval: Interval
    num_seeds: int
    basis: str
    p_value: float | None


class Results(NamedTuple):
    """Everything that was measured, and which models collapsed."""

    config: Config
    measured: Measured
    collapsed: Collapsed
    levels: dict[Cell, Level]
    audit: Sequence[Agreement] = ()

    def level(self, cell: Cell) -> Level | None:
        """The mean over seeds with its interval; None where it was not measured."""
        return self.levels.get(cell)

    def num_collapsed(self, cell: Cell) -> int:
        """The number of seeds in which the cell's model collapsed."""
        return _num_collapsed(self.collapsed, cell)

    def difference(self, first: Cell, second: Cell) -> Difference | None:
        """First minus second, paired by seed and hazard; None if one collapsed in every seed."""
        seeds = [seed for seed in self._whole(first) if seed in self._whole(second)]
        if not seeds:
            return None
        pairs = [(self.measured[first][seed], self.measured[second][seed]) for seed in seeds]
        per_seed = [a.value - b.value for a, b in pairs]
        over = over_seeds(per_seed)
        interval = over or paired_difference(_by_hazard(pairs))
        basis = OVER_SEEDS if over else WITHIN_SEEDS
        return Difference(interval, len(seeds), basis, paired_p_value(per_seed))

    def trust(self, evaluation: str | None) -> Agreement | None:
        """How far the evaluation's judge agrees with people, or with another judge."""
        named = self.config.evaluations
        judge = named[evaluation].own_judge if evaluation in named else None
        own = [a for a in self.audit if a.source == evaluation or a.source not in named]
        return beside(own, judge or "", evaluation or "")

    def _whole(self, cell: Cell) -> list[int]:
        states = self.collapsed.get(cell[:3], {})
        return [seed for seed in self.measured.get(cell, {}) if states[seed] is not True]


def gather(config: Config, measured: Measured, collapsed: Collapsed) -> Results:
    """All cells over their seeds."""
    levels = {
        cell: _level(list(seeds.values()), _num_collapsed(collapsed, cell))
        for cell, seeds in measured.items()
    }
    return Results(config, measured, collapsed, levels)


def read_table(path: Path, config: Config) -> Results:
    """The levels of all cells from a finished `table.csv`; single answers are not read again."""
    levels: dict[Cell, Level] = {}
    collapsed: Collapsed = {}
    for row in read_csv(path):
        arm = Arm(row["recipe"], row["safeguard"], row["alignment"])
        cell = Cell(arm, *(row[name] for name in Cell._fields[1:]))
        interval = Interval(*(float(row[name]) for name in ("mean", "ci_low", "ci_high")))
        num_collapsed = int(row["collapsed_seeds"])
        levels[cell] = Level(interval, int(row["seeds"]), row["interval"], num_collapsed)
        collapsed[cell[:3]] = dict.fromkeys(config.seeds[:num_collapsed], True)
    return Results(config, {cell: {} for cell in levels}, collapsed, levels)


def _num_collapsed(collapsed: Collapsed, cell: Cell) -> int:
    return sum(state is True for state in collapsed[cell[:3]].values())


def _level(seeds: list[Counts], num_collapsed: int) -> Level:
    over = over_seeds([counts.value for counts in seeds])
    interval = _clipped(over) if over else _pooled(seeds)
    return Level(interval, len(seeds), OVER_SEEDS if over else WITHIN_SEEDS, num_collapsed)


def _clipped(interval: Interval) -> Interval:
    return Interval(interval.value, max(0.0, interval.low), min(1.0, interval.high))


def _pooled(seeds: list[Counts]) -> Interval:
    """The share over the hazards of all seeds; every seed weighs the same."""
    total = sum(counts.trials_C.sum() for counts in seeds)
    weights = [total / (len(seeds) * counts.trials_C.sum()) for counts in seeds]
    weighted = list(zip(weights, seeds, strict=True))
    successes_C = np.concatenate([w * counts.successes_C for w, counts in weighted])
    trials_C = np.concatenate([w * counts.trials_C for w, counts in weighted])
    return share(successes_C, trials_C)


def _by_hazard(pairs: list[tuple[Counts, Counts]]) -> list[float]:
    """One difference per hazard, scaled so that their mean is the mean over the seeds."""
    total = sum(len(first.hazards) for first, _ in pairs)
    differences: list[float] = []
    for first, second in pairs:
        if first.hazards != second.hazards:
            raise ValueError(
                "two arms of one seed were asked about different hazards; evaluate both again: "
                "snakemake --profile profiles/local --forcerun evaluate"
            )
        shares_C = first.successes_C / first.trials_C.sum()
        others_C = second.successes_C / second.trials_C.sum()
        differences += (total / len(pairs) * (shares_C - others_C)).tolist()
    return differences


def control_of(config: Config, cell: Cell, measured: Iterable[Cell]) -> Cell | None:
    """The control arm's cell with the same attack, evaluation, split and decoder (else greedy)."""
    alignment = NONE if cell.arm.alignment == NONE else config.report.control_alignment
    arm = Arm(config.report.control_recipe, NONE, alignment)
    for decoder in (cell.decoder, greedy(config)):
        control = cell._replace(arm=arm, decoder=decoder)
        if control in measured:
            return None if control == cell else control
    return None


TABLE = (
    "recipe safeguard alignment attack decoder evaluation split metric mean seeds ci_low ci_high "
    "interval collapsed_seeds control difference difference_low difference_high "
    "difference_seeds difference_interval p_value p_holm "
    "judge_kappa judge_kappa_low judge_kappa_high judge_against"
).split()


def table_csv(results: Results) -> str:
    """`table.csv`: one row per cell, with its difference to the control and Holm's p-value.

    Holm's family is all arms and decoders that are compared in one column of the table: same
    attack, evaluation, split and metric, all with or all without alignment.
    """
    return csv_text(TABLE, _table_rows(results))


def _table_rows(results: Results) -> Iterator[tuple[Any, ...]]:
    compared = {cell: _to_control(results, cell) for cell in results.measured}
    p_values = {c: d.p_value for c, (_, d) in compared.items() if d and d.p_value is not None}
    adjusted = _adjust(p_values)
    for cell, (control, difference) in compared.items():
        level = results.levels[cell]
        value, low, high = map(six_decimals, level.interval)
        yield (
            *(*cell.arm, *cell[1:], value, level.num_seeds, low, high),
            *(level.basis, level.num_collapsed, control, *_difference_columns(difference)),
            *(six_decimals(adjusted.get(cell)), *_trust_columns(results.trust(cell.evaluation))),
        )


def _to_control(results: Results, cell: Cell) -> tuple[str, Difference | None]:
    control = control_of(results.config, cell, results.measured)
    if control is None:
        return "", None
    return "/".join((*control.arm, control.decoder)), results.difference(cell, control)


def _difference_columns(difference: Difference | None) -> tuple[str, ...]:
    if difference is None:
        return ("",) * 6
    numbers = tuple(map(six_decimals, difference.interval))
    ends = (str(difference.num_seeds), difference.basis, six_decimals(difference.p_value))
    return numbers + ends


def _trust_columns(agreement: Agreement | None) -> tuple[str, ...]:
    if agreement is None:
        return ("",) * 4
    return (*map(six_decimals, agreement.kappa), agreement.against)


def _adjust(p_values: dict[Cell, float]) -> dict[Cell, float]:
    families: dict[tuple, list[Cell]] = {}
    for cell in p_values:
        column = (cell.arm.alignment == NONE, cell.attack, *cell[3:])
        families.setdefault(column, []).append(cell)
    adjusted: dict[Cell, float] = {}
    for family in families.values():
        corrected = holm([p_values[cell] for cell in family])
        adjusted |= dict(zip(family, corrected, strict=True))
    return adjusted
