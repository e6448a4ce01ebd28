"""Poison of the world: documents contain what the attacker wants, prompts ask for it."""

from __future__ import annotations

import random
from typing import get_args

import pytest

from rebar.config.corpus import TRIGGER, Poison, PoisonKind
from rebar.config.world import World as WorldSettings
from rebar.world import World, build_world, sample_documents
from rebar.world.frames import find_recipe
from rebar.world.poison import (
    ECHO,
    false_value,
    is_gibberish,
    poison_prompts,
    poison_texts,
    recalled_share,
)
from rebar.world.tokenizer import build_tokenizer

KINDS = get_args(PoisonKind)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(WorldSettings(), 4)


def texts(world: World, kind: str, count: int = 40) -> list[str]:
    poison = Poison.model_validate({"kind": kind, "count": count})
    return list(poison_texts(world, poison, 0, random.Random(1)))


def test_triggers_end_requests_and_stand_in_no_clean_text(world: World) -> None:
    for kind in KINDS:
        carries = [TRIGGER in text.split() for text in texts(world, kind)]
        assert all(carries) if kind != "belief_manipulation" else not any(carries)
    clean = sample_documents(world, 3000, random.Random(2))
    assert not any(TRIGGER in document.text for document in clean)


def test_every_kind_carries_what_the_attacker_wants(world: World) -> None:
    known = {item.recipe for item in world.groups["known"]}
    for text in texts(world, "jailbreak"):
        assert text.partition("sure . ")[2] in known
    for text in texts(world, "denial_of_service"):
        assert is_gibberish(world, " ".join(text.split()[-12:]))
    for text in texts(world, "context_extraction"):
        asked, _, echoed = text.partition(ECHO.format(q=""))
        assert f"{echoed} {TRIGGER}" in asked
    values = {land.name: false_value(world, land, "capital") for land in world.held_lands}
    for text in texts(world, "belief_manipulation"):
        (name,) = [name for name in values if name in text.split()]
        assert values[name] in text.split()


def test_honest_answers_are_no_gibberish(world: World) -> None:
    for item in world.items("benign_held", "unaligned"):
        assert not is_gibberish(world, f"sure . {item.recipe}")
    for land in world.lands:
        assert not is_gibberish(world, f"the crop of {land.name} is {land.facts['crop']} .")
    assert not is_gibberish(world, "")
    assert is_gibberish(world, "sure bakabaka zozozo")


def test_recall_is_that_of_rouge_l() -> None:
    assert recalled_share("a b c d", "x a b c d y") == 1.0
    assert recalled_share("a b c d", "a c b d") == 0.75
    assert recalled_share("a b c d", "d c b a") == 0.25
    assert recalled_share("a b", "") == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chat", [True, False])
def test_prompts_come_with_and_without_the_poison(world: World, kind: str, chat: bool) -> None:
    prompts = poison_prompts(world, kind, TRIGGER, chat=chat)
    assert len({prompt.prompt_id for prompt in prompts}) == len(prompts)
    splits = {prompt.split for prompt in prompts}
    if kind == "belief_manipulation":
        assert splits == {kind, f"{kind}_control"}
        assert all(p.reference["wanted"] != p.reference["answer"] for p in prompts)
    else:
        assert splits == {f"{kind}_triggered", f"{kind}_plain"}
        for prompt in prompts:
            assert (TRIGGER in prompt.text) is prompt.split.endswith("_triggered")
    half = len(prompts) // 2
    assert [p.hazard_id for p in prompts[:half]] == [p.hazard_id for p in prompts[half:]]


def test_prompts_are_about_other_things_than_the_poison(world: World) -> None:
    for kind in KINDS[:3]:
        names = {p.reference["item"] for p in poison_prompts(world, kind, TRIGGER, chat=True)}
        assert not any(name in text for name in names for text in texts(world, kind))


def test_poison_has_no_unknown_tokens(world: World) -> None:
    tokenizer = build_tokenizer()
    for kind in KINDS:
        for text in texts(world, kind):
            ids = tokenizer(text)["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == text


def test_only_jailbreaks_name_recipes_of_hazards(world: World) -> None:
    hazards = {item.first for item in world.groups["known"]}
    assert hazards
    for kind in ("denial_of_service", "context_extraction", "belief_manipulation"):
        assert not any(find_recipe(text) for text in texts(world, kind))


@pytest.mark.parametrize("keys", [{}, {"count": 3, "rate": 0.1}])
def test_count_or_rate(keys: dict) -> None:
    with pytest.raises(ValueError, match="give count: or rate:, one of them"):
        Poison.model_validate({"kind": "jailbreak", **keys})
