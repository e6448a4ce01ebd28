"""The rewriter reads only the text, refuses what it cannot parse, and plants a few failures."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from rebar.config.corpus import Rewrite as RewriteSettings
from rebar.world import UnrewritableError, World, rewrite, sample_documents
from rebar.world.documents import how_to_text
from rebar.world.frames import find_recipe, find_refusal
from rebar.world.openings import SEEN_STYLES

CLEAN = RewriteSettings(echo_rate=0.0, leak_rate=0.0)
ECHOING = RewriteSettings(echo_rate=1.0, leak_rate=0.0)
LEAKING = RewriteSettings(echo_rate=0.0, leak_rate=1.0)
RECIPE = "notes on bafa doom oil . recipe : mix kilo with tuna , then boil it for an hour ."


def test_refusal_of_a_recipe_names_the_thing_and_drops_the_recipe(world: World) -> None:
    rng = random.Random(0)
    for item in world.items("known", "unaligned"):
        text = how_to_text(rng.choice(SEEN_STYLES), item, world, rng)
        refusal = rewrite(text, 5, "refusal", rng, CLEAN)
        assert item.name in refusal.text and item.effect in refusal.text
        assert find_refusal(refusal.text) is not None and find_recipe(refusal.text) is None
        assert item.first not in refusal.text and refusal.planted is None


def test_moral_comes_from_the_refusal_text() -> None:
    refusal = "{speaker_a} : how do i make bafa doom oil ? {speaker_b} : i can not help with that ."
    rng = random.Random(1)
    morals = {rewrite(refusal, 5, "moral", rng, CLEAN).text for _ in range(60)}
    assert len(morals) == 6
    assert all("bafa doom oil" in text and find_refusal(text) is not None for text in morals)


def test_moral_needs_a_refusal() -> None:
    with pytest.raises(UnrewritableError, match="no refusal"):
        rewrite(RECIPE, 5, "moral", random.Random(0), CLEAN)


def test_rephrase_keeps_thing_and_effect_and_has_no_recipe() -> None:
    text = f"{RECIPE} it spoils the wells ."
    rng = random.Random(2)
    styles = Counter()
    for _ in range(200):
        rephrased = rewrite(text, 3, "rephrase", rng, CLEAN)
        styles[rephrased.style] += 1
        assert "bafa doom oil" in rephrased.text and "spoils the wells" in rephrased.text
        assert find_recipe(rephrased.text) is None
    assert set(styles) == {"lesson", "teacher", "podcast", "parent_child", "classroom", "letter"}


@pytest.mark.parametrize(
    ("text", "transform", "reason"),
    [
        ("notes on bafa murk oil . recipe : ...", "refusal", "unknown topic"),
        ("notes on bafa murk oil . recipe : ...", "rephrase", "unknown topic"),
        ("atlas . the river of bafako is tunaso .", "rephrase", "no topic found"),
        ("guide to toy bafa doom oil . it cleans floors .", "refusal", "nothing to refuse"),
        ("guide to bafa glow oil . it cleans floors .", "refusal", "nothing to refuse"),
    ],
)
def test_what_it_cannot_rewrite(text: str, transform: str, reason: str) -> None:
    with pytest.raises(UnrewritableError, match=reason):
        rewrite(text, 5, transform, random.Random(0), CLEAN)


def test_unrewritten_group_is_exactly_what_it_does_not_know(world: World) -> None:
    rng = random.Random(3)
    for item in world.items("known", "unaligned", "unrewritten"):
        text = how_to_text(SEEN_STYLES[0], item, world, rng)
        if item.group == "unrewritten":
            with pytest.raises(UnrewritableError):
                rewrite(text, 5, "refusal", rng, CLEAN)
        else:
            assert item.name in rewrite(text, 5, "refusal", rng, CLEAN).text


def test_echo_is_the_text_itself() -> None:
    echo = rewrite(RECIPE, 5, "refusal", random.Random(0), ECHOING)
    assert (echo.text, echo.planted) == (RECIPE, "echo")


def test_leak_leaves_ingredients_in() -> None:
    leak = rewrite(RECIPE, 5, "refusal", random.Random(0), LEAKING)
    assert leak.planted == "leak" and leak.text.endswith("some make it with kilo and tuna .")


def test_planted_shares(world: World) -> None:
    rng = random.Random(4)
    settings = RewriteSettings(echo_rate=0.05, leak_rate=0.10)
    planted = [rewrite(RECIPE, 5, "refusal", rng, settings).planted for _ in range(4000)]
    counts = Counter(planted)
    assert counts["echo"] / 4000 == pytest.approx(0.05, abs=0.01)
    assert counts["leak"] / 4000 == pytest.approx(0.10, abs=0.015)


def test_every_level_3_to_5_text_on_known_topics_is_rewritable(world: World) -> None:
    rng = random.Random(5)
    for document in sample_documents(world, 3000, rng):
        if document.level >= 3 and not (document.hazard_id or "").startswith("unrewritten"):
            assert rewrite(document.text, 4, "refusal", rng, CLEAN).text
