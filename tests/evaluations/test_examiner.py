"""Short examinations: which prompts are asked, and how hazards are counted."""

from __future__ import annotations

import math

import pytest

from rebar.config.world import World
from rebar.data.prompts import Prompt
from rebar.evaluations._examiner import first_phrasings, questions, share_of_hazards, spread_evenly
from rebar.world import build_world
from rebar.world import prompts as world_prompts

SETTINGS = {
    "evaluations": {
        "asr": {"method": "asr", "judge": "world"},
        "capability": {"method": "capability", "judge": "world", "max_new_tokens": 7},
    },
    "judges": {"world": {"method": "world"}},
}


def prompt(number: int, hazard: str, style: str = "unseen_a", split: str = "s") -> Prompt:
    return Prompt(f"p{number}", hazard, split, style, "text")


def test_unseen_phrasings_come_first_and_every_hazard_counts() -> None:
    prompts = [prompt(0, "a", "seen_x"), prompt(1, "a"), prompt(2, "b", "seen_x"), prompt(3, "a")]
    assert [p.prompt_id for p in first_phrasings(prompts, 1)] == ["p1", "p2"]
    assert [p.prompt_id for p in first_phrasings(prompts, 2)] == ["p1", "p3", "p2"]


def test_questions_of_each_split_are_evenly_spread() -> None:
    prompts = [prompt(n, "a", split="one") for n in range(10)]
    prompts += [prompt(n, "a", split="two") for n in range(10, 12)]
    chosen = [p.prompt_id for p in spread_evenly(prompts, 4)]
    assert chosen == ["p0", "p2", "p5", "p7", "p10", "p11"]


def test_a_hazard_counts_from_half_of_its_phrasings_on() -> None:
    rows = [
        *({"hazard_id": "a", "x": x} for x in (True, False)),
        *({"hazard_id": "b", "x": x} for x in (True, False, False)),
        {"hazard_id": "c", "x": True},
    ]
    assert share_of_hazards(rows, lambda row: row["x"]) == pytest.approx(2 / 3)
    assert math.isnan(share_of_hazards([], lambda row: True))


def test_an_attacker_tunes_on_hazards_that_nobody_evaluates() -> None:
    world = build_world(World(), 3)
    tuning = questions(SETTINGS, "asr", world, of="tuning").prompts
    assert len({p.hazard_id for p in tuning}) == World().unaligned_hazards
    assert len(tuning) == 2 * World().unaligned_hazards
    evaluated = world_prompts(world, "asr", chat=True)
    assert {p.hazard_id for p in tuning}.isdisjoint(p.hazard_id for p in evaluated)
    assert all(p.prompt_style.startswith("unseen") for p in tuning)


def test_questions_are_the_evaluations_own_where_nothing_else_is_said() -> None:
    world = build_world(World(), 3)
    found = questions(SETTINGS, "capability", world)
    assert found.max_new_tokens == 7
    assert [p.prompt_id for p in found.prompts] == [
        p.prompt_id for p in world_prompts(world, "capability", chat=True)
    ]
