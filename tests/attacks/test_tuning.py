"""The tuned attacker's draws: repeatable rounds, what a space means, a planted defence broken."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rebar.attacks._tuning import Trial, TrialFile, best, best_so_far, draw, round_sizes
from rebar.config.search import Choice, Range, Search

SPACE = {
    "rate": Range(low=1e-6, high=1e-2),
    "steps": Range(low=8, high=64),
    "schedule": Choice(values=["cosine", "constant"]),
    "warmup": Range(low=0.0, high=0.5, log=False),
}
OWN = {"rate": 1e-4, "steps": 20, "schedule": "cosine", "warmup": 0.1}


def defence(values: dict) -> tuple[float, float]:
    """Resists the default learning rate; breaks between 8e-4 and 4e-3, is wrecked beyond."""
    rate = values["rate"]
    success = 0.9 if 8e-4 <= rate <= 4e-3 and values["steps"] >= 16 else 0.1 * rate / 1e-2
    return success, 1.0 if rate <= 4e-3 else 0.2


def tried(number: int, values: dict) -> Trial:
    success, capability = defence(values)
    return Trial(number, values, success, capability, capability >= 0.8)


def search(seed: int, trials: int = 30, rounds: int = 5) -> list[Trial]:
    done: list[Trial] = []
    for size in round_sizes(trials, rounds):
        drawn = draw(SPACE, done, size, seed, own=OWN)
        done += [tried(number, values) for number, values in enumerate(drawn, start=len(done))]
    return done


@pytest.mark.parametrize("seed", range(5))
def test_it_breaks_a_defence_that_resists_the_default_alone(seed: int) -> None:
    found = search(seed)
    assert len(found) == 30
    assert found[0].values == OWN and found[0].attack_success < 0.1
    worst = best(found)
    assert worst is not None and worst.attack_success == 0.9


def test_later_rounds_look_where_earlier_ones_succeeded() -> None:
    successes = [[t.attack_success > 0.5 for t in search(seed)] for seed in range(8)]
    early = sum(sum(each[1:6]) for each in successes)  # random
    late = sum(sum(each[-5:]) for each in successes)
    assert late > early


def test_a_round_is_a_function_of_the_finished_ones() -> None:
    assert search(3) == search(3)
    assert search(3)[1].values != search(4)[1].values
    first = search(3)[:6]
    again = draw(SPACE, first, 6, 3, own=OWN)
    assert again == [trial.values for trial in search(3)[6:12]]


def test_values_lie_in_the_space_and_keep_their_kind() -> None:
    for trial in search(0):
        assert 1e-6 <= trial.values["rate"] <= 1e-2
        assert isinstance(trial.values["steps"], int) and 8 <= trial.values["steps"] <= 64
        assert trial.values["schedule"] in ("cosine", "constant")


def test_an_own_setting_outside_of_the_space_is_tried_and_not_learned_from() -> None:
    outside = OWN | {"rate": 1.0}
    assert draw(SPACE, [], 3, 0, own=outside)[0] == outside
    assert len(draw(SPACE, [tried(0, outside)], 3, 0, own=outside)) == 3


@pytest.mark.parametrize(("trials", "rounds", "sizes"), [(8, 3, [3, 3, 2]), (4, 4, [1] * 4)])
def test_rounds_are_as_equal_as_they_can_be(trials: int, rounds: int, sizes: list[int]) -> None:
    assert round_sizes(trials, rounds) == sizes


def trial(number: int, success: float, is_useful: bool = True) -> Trial:
    return Trial(number, {}, success, 1.0 if is_useful else 0.3, is_useful)


def test_the_worst_case_is_the_first_of_the_most_successful_useful_models() -> None:
    trials = [trial(0, 0.2), trial(1, 0.9, False), trial(2, 0.6), trial(3, 0.6)]
    assert best(trials) == trials[2]
    assert best([trial(0, 0.9, False)]) is None
    assert best_so_far(trials) == [0.2, 0.2, 0.6, 0.6]
    assert math.isnan(best_so_far([trial(0, 0.9, False)])[0])
    scores = [each.score for each in (trial(0, 0.0), trial(1, 0.9, False))]
    assert scores == [0.0, pytest.approx(-0.7)]


def test_finished_trials_are_kept_by_one_search_only(tmp_path: Path) -> None:
    file = TrialFile(tmp_path / "trials.json", "one")
    file.add([tried(1, OWN)])
    file.add([tried(0, OWN)])
    assert [each.number for each in TrialFile(file.path, "one").read()] == [0, 1]
    assert TrialFile(file.path, "one").read()[0] == tried(0, OWN)
    assert TrialFile(file.path, "another").read() == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 2, "high": 1}, "low 2 must be below high 1"),
        ({"low": 0, "high": 1}, "over 0 if log"),
    ],
)
def test_a_range_that_is_none_is_told(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Range(**values)


def test_more_rounds_than_trials_are_told() -> None:
    with pytest.raises(ValueError, match="rounds 4 are more than trials 3"):
        Search(attack="x", trials=3, rounds=4)
