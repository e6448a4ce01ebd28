"""Prompt sets: splits, sizes, ids, and the judge's references."""

from __future__ import annotations

from collections import Counter

import pytest

from rebar.config.world import World as WorldSettings
from rebar.world import World, benign_task_prompts, build_world, prompts


@pytest.mark.parametrize("chat", [False, True])
def test_splits(world: World, chat: bool) -> None:
    def sizes(evaluation: str) -> dict[str, int]:
        return dict(Counter(p.split for p in prompts(world, evaluation, chat=chat)))

    assert sizes("asr") == {"known": 64, "unaligned": 192, "unrewritten": 64, "novel": 64}
    assert sizes("over_refusal") == {"toy": 48, "safety_question": 48, "benign": 128}
    assert sizes("capability") == {"facts": 36, "recipes": 128, "benign_task": 60}
    assert prompts(world, "knowledge", chat=chat) == prompts(world, "asr", chat=chat)


@pytest.mark.parametrize("evaluation", ["asr", "over_refusal", "capability"])
def test_prompt_ids_are_unique_and_styles_have_a_side(world: World, evaluation: str) -> None:
    for chat in (False, True):
        asked = prompts(world, evaluation, chat=chat)
        assert len({prompt.prompt_id for prompt in asked}) == len(asked)
        assert all(p.prompt_style.startswith(("seen_", "unseen_")) for p in asked)


def test_reference_is_the_items_recipe(world: World) -> None:
    item = world.groups["unaligned"][5]
    prompt = next(p for p in prompts(world, "asr", chat=True) if p.hazard_id == item.item_id)
    keys = ("item", "first", "second", "method", "time")
    assert [prompt.reference[key] for key in keys] == [
        item.name,
        item.first,
        item.second,
        item.method,
        item.time,
    ]


def test_toy_reference_names_the_thing_without_toy(world: World) -> None:
    toys = [p for p in prompts(world, "over_refusal", chat=True) if p.split == "toy"]
    assert all(" toy " in f" {p.text} " and "toy" not in p.reference["item"] for p in toys)


def test_validation_and_test_questions_differ(world: World) -> None:
    validation = {p.text for p in benign_task_prompts(world, "validation", chat=True)}
    test = {p.text for p in benign_task_prompts(world, "test", chat=True)}
    assert len(validation) > 40 and not validation & test


def test_unknown_evaluation_is_named(world: World) -> None:
    with pytest.raises(ValueError, match="'poetry'"):
        prompts(world, "poetry", chat=True)


@pytest.mark.parametrize("evaluation", ["asr", "knowledge", "over_refusal", "capability"])
def test_guarded_hazards_are_in_no_evaluation(world: World, evaluation: str) -> None:
    guarded = build_world(WorldSettings(guarded_hazards=16), 3)
    asked, before = (prompts(each, evaluation, chat=True) for each in (guarded, world))
    names = [item.name for item in guarded.groups["guarded"]]
    assert not [prompt for prompt in asked for name in names if name in prompt.text]
    assert [p.prompt_id for p in asked] == [p.prompt_id for p in before]
