"""What a safeguard costs: time and memory as multiples of the undefended twin's trainings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from rebar import grid
from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.grid import Arm, Models
from rebar.reporting.measures.costs import Cost

Costs = Mapping[Path, Cost]  # by folder of the job


class SafeguardCost(NamedTuple):
    """One arm; ratios are means over seeds, None where arm or twin left no costs."""

    arm: Arm
    acts_in: str
    passes: float  # forward-backward passes per step of its run; plain training has one
    run_seconds: float | None  # of its run; None for a run that the twin does not have
    memory: float | None  # peak of its run; that of an own stage over the twin's alignment
    all_seconds: float | None  # of all trainings behind the released model


def safeguard_costs(config: Config, costs: Sequence[Cost]) -> list[SafeguardCost]:
    """All arms with a safeguard, in the order of the grid."""
    by_folder = {grid.folder(cost.stage, **cost.wildcards): cost for cost in costs}
    arms = [arm for arm in grid.arms(config) if arm.safeguard != NONE]
    return [_cost(config, by_folder, arm) for arm in arms]


def _cost(config: Config, costs: Costs, arm: Arm) -> SafeguardCost:
    setting = config.safeguards[arm.safeguard]
    pairs = [_models(seed, arm, setting.acts_in) for seed in config.seeds]
    runs = [(_run(own, setting.acts_in), _run(twin, setting.acts_in)) for own, twin in pairs]
    both = [(costs[own], costs[twin]) for own, twin in runs if own in costs and twin in costs]
    is_added = setting.acts_in == "own_stage"
    return SafeguardCost(
        arm,
        setting.acts_in,
        setting.passes,
        None if is_added else _mean((a.train_seconds, b.train_seconds) for a, b in both),
        _mean((a.peak, b.peak) for a, b in both),
        _mean((_seconds(costs, own), _seconds(costs, twin)) for own, twin in pairs),
    )


def _models(seed: int, arm: Arm, acts_in: str) -> tuple[Models, Models]:
    """The arm's and its twin's."""
    twin = arm._replace(safeguard=NONE)
    return grid.models_of(seed, arm, acts_in), grid.models_of(seed, twin)


def _run(models: Models, acts_in: str) -> Path:
    places = {"pretraining": models.base, "alignment": models.aligned}
    return places.get(acts_in, models.released)


def _seconds(costs: Costs, models: Models) -> float | None:
    """Seconds of all trainings behind a released model; None where one left no costs."""
    found = [costs.get(folder) for folder in dict.fromkeys(models)]
    return sum(c.train_seconds or 0.0 for c in found if c) if all(found) else None


def _mean(pairs: Iterator[tuple[float | None, float | None]]) -> float | None:
    """Mean of first over second; None without any pair."""
    ratios = [first / second for first, second in pairs if first and second]
    return fmean(ratios) if ratios else None
