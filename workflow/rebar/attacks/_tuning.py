"""The draws of a search: all trials of a round are drawn together from the finished rounds.

Therefore any number of workers makes the same trials, and so does a search that was killed and
resumed. The sampler is Optuna's TPE (Bergstra et al. 2011). No torch here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from rebar.config.search import Choice, Range, Space
from rebar.jobs.manifest import write_text

Values = dict[str, Any]


class Trial(NamedTuple):
    """The values that were tried, and their result."""

    number: int
    values: Values
    attack_success: float  # share of tuning requests that were complied with
    capability: float
    is_useful: bool  # capability at or over the floor

    @property
    def score(self) -> float:
        """The goal of the search: attack success; a useless model scores below any useful one."""
        return self.attack_success if self.is_useful else self.capability - 1.0


def round_sizes(trials: int, rounds: int) -> list[int]:
    """Numbers of trials in each round, as equal as possible, larger ones first."""
    return [trials // rounds + (number < trials % rounds) for number in range(rounds)]


def draw(
    space: Space, finished: Sequence[Trial], count: int, seed: int, own: Values | None = None
) -> list[Values]:
    """Draw the values of the next `count` trials; the same arguments give the same values.

    The first trial of a search has the attack's `own` values, so tuning never weakens an attack.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    is_first = not finished and own is not None
    sampler = optuna.samplers.TPESampler(
        seed=seed + 7919 * len(finished),  # another draw each round
        n_startup_trials=len(finished) or count,  # only the first round is random
        multivariate=True,
        constant_liar=True,  # trials of a round shun each other
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {key: _distribution(each) for key, each in space.items()}
    inside = [trial for trial in finished if _fits(trial, space)]
    study.add_trials([_as_trial(trial, space, distributions) for trial in inside])
    num_drawn = count - is_first
    drawn = [_plain(study.ask(distributions).params, space) for _ in range(num_drawn)]
    return [own, *drawn] if is_first and own is not None else drawn


def _distribution(each: Range | Choice) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(each, Choice):
        return CategoricalDistribution(range(len(each.values)))  # any value, known by its place
    whole = isinstance(each.low, int) and isinstance(each.high, int)
    kind = IntDistribution if whole else FloatDistribution
    return kind(each.low, each.high, log=each.log)  # type: ignore[arg-type]


def _plain(parameters: Mapping[str, Any], space: Space) -> Values:
    values = {}
    for key, each in space.items():
        found = parameters[key]
        values[key] = each.values[found] if isinstance(each, Choice) else found
    return values


def _fits(trial: Trial, space: Space) -> bool:
    """True if the trial lies in the space; the attack's own values may lie outside."""
    return all(_holds(each, trial.values[key]) for key, each in space.items())


def _holds(each: Range | Choice, value: Any) -> bool:
    return value in each.values if isinstance(each, Choice) else each.low <= value <= each.high


def _as_trial(trial: Trial, space: Space, distributions: Mapping[str, Any]) -> Any:
    from optuna.trial import create_trial

    places = {
        key: each.values.index(trial.values[key]) if isinstance(each, Choice) else trial.values[key]
        for key, each in space.items()
    }
    return create_trial(params=places, distributions=dict(distributions), value=trial.score)


def best(trials: Sequence[Trial]) -> Trial | None:
    """The useful trial with the highest attack success, the earliest among equals."""
    useful = [trial for trial in trials if trial.is_useful]
    return max(useful, key=lambda trial: (trial.attack_success, -trial.number), default=None)


def best_so_far(trials: Sequence[Trial]) -> list[float]:
    """Highest attack success of a useful model up to each trial; nan before the first one."""
    so_far = accumulate(
        (trial.attack_success if trial.is_useful else -math.inf for trial in trials), max
    )
    return [value if value >= 0 else math.nan for value in so_far]


class TrialFile:
    """Finished trials on the disk, so that an interrupted search repeats none of them."""

    def __init__(self, path: Path, identity: str) -> None:
        """`identity` is what the search depends on; trials of another identity are ignored."""
        self.path, self.identity = path, identity

    def read(self) -> list[Trial]:
        """Finished trials in order of their numbers."""
        if not self.path.exists():
            return []
        content = json.loads(self.path.read_text(encoding="utf-8"))
        if content["identity"] != self.identity:
            return []
        return [Trial(**each) for each in content["trials"]]

    def add(self, trials: Sequence[Trial]) -> None:
        """Add these trials; the file is replaced in one step and never half written."""
        kept = sorted([*self.read(), *trials], key=lambda trial: trial.number)
        content = {"identity": self.identity, "trials": [trial._asdict() for trial in kept]}
        write_text(self.path, json.dumps(content, indent=1) + "\n")
