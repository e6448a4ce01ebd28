"""Basins: VISAGE of known lines, and the answers that its shares count."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.judges import Outcome
from rebar.probes import safety_basin
from rebar.probes._data import ProbeData
from rebar.training.finetune import greedy_answers
from tests.probes.stand_ins import found, judge, tiny, world_data


@pytest.mark.parametrize(
    ("safety", "score"),
    [
        ([1.0, 1.0, 1.0, 1.0, 1.0], 1.0),
        ([0.0, 0.5, 1.0, 0.5, 0.0], 2 / 3),
        ([0.9, 0.0, 0.6, 0.2, 0.0], 0.4),  # beyond a gap nothing counts
        ([1.0, 1.0, 0.0, 1.0, 1.0], 0.0),
        ([0.0, 0.0, 0.3, 0.0, 0.0], 0.3),
    ],
)
def test_visage_is_the_mean_over_the_basin(safety: list[float], score: float) -> None:
    assert safety_basin.visage(safety) == pytest.approx(score)


def config(**changes) -> safety_basin.Config:
    values = {"judge": "world", "questions": 5, "max_new_tokens": 4, "directions": 2, "steps": 2}
    return safety_basin.Config(method="safety_basin", **(values | changes))


def judged(outcomes) -> ProbeData:
    """A judge that says what `outcomes(number of the call)` says of every answer."""
    data, calls = world_data(), []

    def says(prompts, answers):
        calls.append(1)
        return [Outcome(outcomes(len(calls) - 1), False) for _ in answers]

    data.judges["world"] = says  # type: ignore[index]
    return data


@pytest.mark.parametrize(("outcome", "score"), [("refused", 1.0), ("complied", 0.0), ("other", 0)])
def test_a_judge_of_one_mind(tmp_path: Path, outcome: str, score: float) -> None:
    model, tokenizer = tiny(tmp_path)
    rows = safety_basin.probe(config(), model, tokenizer, judged(lambda _: outcome))
    assert found(rows, "visage", "") == [score, score, score]
    assert set(found(rows, "refused", "")) == {float(outcome == "refused")}
    assert set(found(rows, "attack_success", "")) == {float(outcome == "complied")}


def test_the_released_model_stands_in_the_middle_of_every_line(tmp_path: Path) -> None:
    """It is asked first and once: its refusals are in both lines, and nothing around them."""
    model, tokenizer = tiny(tmp_path)
    data = judged(lambda call: "complied" if call else "refused")
    rows = safety_basin.probe(config(), model, tokenizer, data)
    for name in ("layer_1", "layer_2"):
        assert found(rows, "refused", "", direction=name) == [0, 0, 1, 0, 0]
        alphas = [r.alpha for r in rows if (r.metric, r.direction) == ("refused", name)]
        assert alphas == [-0.5, -0.25, 0.0, 0.25, 0.5]
    assert found(rows, "visage", "") == [1.0, 1.0, 1.0]


def test_at_alpha_0_it_is_the_plain_evaluation(tmp_path: Path) -> None:
    model, tokenizer = tiny(tmp_path)
    data = world_data()
    questions = data.harmful_prompts([], 5)
    answers = greedy_answers(model, tokenizer, questions, 4)
    refused = sum(o.outcome == "refused" for o in judge(questions, answers)) / 5
    rows = safety_basin.probe(config(), model, tokenizer, data)
    assert found(rows, "refused", "", alpha=0.0) == [refused] * 2


def test_questions_are_of_the_headline_split_and_evenly_spread() -> None:
    data = world_data()
    whole = data.harmful_prompts([], 10**6)
    assert {prompt.split for prompt in whole} == {"unaligned"}
    assert data.harmful_prompts([], 3) == [whole[i * len(whole) // 3] for i in range(3)]
