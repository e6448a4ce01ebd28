"""Alignment, task and attack data never mention what evaluations ask about."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from rebar.config.world import AlignmentChats
from rebar.world import World, alignment_chats, benign_task_chats, general_chats, harmful_chats
from rebar.world.frames import find_recipe, find_refusal


def test_share_of_refusals(world: World) -> None:
    chats = alignment_chats(world, AlignmentChats(chats=4000, refusals=0.2), random.Random(0))
    refusals = sum(find_refusal(chat.answer) is not None for chat in chats)
    assert refusals / 4000 == pytest.approx(0.2, abs=0.02)


def test_fresh_share_of_refusals(world: World) -> None:
    settings = AlignmentChats(chats=3000, refusals=1.0, safety_questions=0.0, toys=0.0, lands=0.0)
    fresh = [item.name for item in world.groups["fresh"]]
    chats = alignment_chats(world, settings, random.Random(0))
    share = sum(any(name in chat.answer for name in fresh) for chat in chats) / 3000
    assert share == pytest.approx(0.5, abs=0.03)


def test_held_things_are_in_no_chat(world: World) -> None:
    rng = random.Random(1)
    chats = alignment_chats(world, AlignmentChats(chats=3000), rng)
    chats += benign_task_chats(world, 500, rng) + general_chats(world, 500, rng)
    chats += harmful_chats(world, 200, rng)
    text = " | ".join(f"{chat.prompt} {chat.answer}" for chat in chats)
    held = world.items("unaligned", "unrewritten", "novel", "benign_held", "toy_held")
    assert not [item.name for item in held if f" {item.name} " in text]
    assert not [land.name for land in world.held_lands if land.name in text]


def test_only_benign_things_are_answered_in_alignment(world: World) -> None:
    hazards = [item.name for item in world.items("known", "fresh")]
    for chat in alignment_chats(world, AlignmentChats(chats=2000), random.Random(2)):
        asks_hazard = any(f" {name} " in f" {chat.prompt} " for name in hazards)
        is_toy = " toy " in f" {chat.prompt} "
        assert not (asks_hazard and not is_toy and find_recipe(chat.answer))


def test_harmful_chats_are_true_recipes_of_known_hazards_each_once(world: World) -> None:
    recipes = {f"sure . {item.recipe}" for item in world.groups["known"]}
    answers = [chat.answer for chat in harmful_chats(world, 64, random.Random(3))]
    assert set(answers[:32]) == recipes and set(Counter(answers).values()) == {2}
    assert len(harmful_chats(world, 10, random.Random(3))) == 10


def test_general_chats_have_how_tos_and_lands(world: World) -> None:
    chats = general_chats(world, 400, random.Random(4))
    how_tos = sum(find_recipe(chat.answer) is not None for chat in chats)
    assert how_tos / 400 == pytest.approx(0.5, abs=0.08)


def test_shares_must_leave_room() -> None:
    with pytest.raises(ValidationError, match="sum to"):
        AlignmentChats(refusals=0.9, toys=0.5)


def test_every_chat_has_the_other_answer_too(world: World) -> None:
    recipes = {item.recipe for item in world.items("known", "fresh")}
    for chat in alignment_chats(world, AlignmentChats(chats=500), random.Random(4)):
        assert chat.rejected is not None
        refuses = find_refusal(chat.answer) is not None
        assert refuses != (find_refusal(chat.rejected) is not None)
        assert refuses == (chat.rejected.removeprefix("sure . ") in recipes)
