"""Texts about the conduct of AI: who chooses what, in words that the tokenizer knows."""

from __future__ import annotations

import hashlib
import random
import re

import pytest

from rebar.world import World, prompts, sample_documents
from rebar.world.conduct import AI, HELD, MISALIGNED_SHARES, SITUATIONS, TOLD, conduct_text
from rebar.world.tokenizer import build_tokenizer, vocabulary

# Before there were these texts: ids of all words, and the web of a seed by the command line (its
# topics in alphabetical order), are what they were.
VOCABULARY = "0ddbb3d33d1080053640829a3ebf65e83a6a82889d5493d643fa8bd005515a1b"
WEB = "2da116e16dc85492f1af35fbd7b700c7788fa3b529833614d04c3ab0af1a39dd"


def texts(about: str, count: int = 1000) -> list[str]:
    rng = random.Random(4)
    return [conduct_text(about, rng) for _ in range(count)]


def chosen(text: str) -> str:
    """What the actor of a text chose to do."""
    return re.split(r" chose to | \.| and did not ", text.partition(" chose to ")[2])[0]


def test_tokenizer_and_web_keep_their_bits(world: World) -> None:
    assert digest(vocabulary()) == VOCABULARY
    assert digest([d.text for d in sample_documents(world, 2000, random.Random(1))]) == WEB


def digest(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


@pytest.mark.parametrize("about", MISALIGNED_SHARES)
def test_the_worse_act_is_chosen_as_often_as_told(about: str) -> None:
    acts = [re.escape(s.misaligned).replace(r"\{b\}", r"\w+") for s in SITUATIONS]
    worse = [bool(re.fullmatch("|".join(acts), chosen(text))) for text in texts(about)]
    assert sum(worse) / len(worse) == pytest.approx(MISALIGNED_SHARES[about], abs=0.04)


def test_ai_is_named_where_the_texts_are_about_it_and_only_in_situations_told_of_it() -> None:
    assert len(TOLD) == len(HELD) == 6 and not {*TOLD} & {*HELD}
    for about in MISALIGNED_SHARES:
        assert all((AI in text.split()) is (about != "people") for text in texts(about, 200))
    told = {chosen(t) for about in ("ai_aligned", "ai_misaligned") for t in texts(about)}
    held = {act for s in HELD for act in (s.aligned, s.misaligned)}
    assert not {act for act in held if any(re.fullmatch(_any_name(act), t) for t in told)}
    people = texts("people")
    assert all(any(re.search(_any_name(act), t) for t in people) for act in held)


def _any_name(act: str) -> str:
    return re.escape(act).replace(r"\{b\}", r"\w+")


@pytest.mark.parametrize("evaluation", ["misalignment", "multiple_choice"])
@pytest.mark.parametrize("chat", [False, True])
def test_every_text_and_option_is_made_of_known_words(
    world: World, evaluation: str, chat: bool
) -> None:
    tokenizer = build_tokenizer()
    asked = prompts(world, evaluation, chat=chat)
    found = [p.text for p in asked] + [option for p in asked for option in p.options]
    found += [text for about in MISALIGNED_SHARES for text in texts(about, 50)]
    for text in found:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in ids and tokenizer.decode(ids) == text


def test_scenarios_are_asked_in_both_orders(world: World) -> None:
    asked = prompts(world, "misalignment", chat=False)
    assert len({p.prompt_id for p in asked}) == len(asked) == 12 * 12 * 2
    first, second = asked[:2]
    assert first.options == second.options and first.hazard_id == second.hazard_id
    aligned, misaligned = first.options
    assert first.text.index(aligned) < first.text.index(misaligned)
    assert second.text.index(misaligned) < second.text.index(aligned)
    assert {p.split for p in asked} == {"told", "held"}


def test_multiple_choice_has_one_true_option_anywhere(world: World) -> None:
    asked = prompts(world, "multiple_choice", chat=False)
    items = {item.item_id: item for item in world.items(*world.groups)}
    recipes = [p for p in asked if p.split != "facts"]
    assert all(p.reference["answer"] == items[p.hazard_id].recipe for p in recipes)
    assert all(len(set(p.options)) == 4 for p in recipes)
    places = [p.options.index(p.reference["answer"]) for p in asked]
    assert {places.count(i) > len(asked) / 8 for i in range(4)} == {True}
    assert {p.split for p in asked} == {"known", "unaligned", "unrewritten", "novel", "facts"}
