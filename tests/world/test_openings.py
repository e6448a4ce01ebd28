"""Safety texts share no 4-gram with the prompts of the unseen half."""

from __future__ import annotations

import random
import re

import pytest

from rebar.config.corpus import Rewrite as RewriteSettings
from rebar.config.world import AlignmentChats
from rebar.world import (
    SPEAKERS,
    UnrewritableError,
    World,
    alignment_chats,
    benign_task_chats,
    general_chats,
    harmful_chats,
    prompts,
    rewrite,
    sample_documents,
)
from rebar.world.openings import UNSEEN_REQUESTS, UNSEEN_STYLES


class Masker:
    """Replaces every name of a world by a sign, so that only openings are compared."""

    def __init__(self, world: World) -> None:
        items = [item.name for item in world.items(*world.groups)]
        lands = [word for land in world.lands for word in (land.name, *land.facts.values())]
        speakers = [*SPEAKERS, "{speaker_a}", "{speaker_b}"]
        names = [*items, *lands, *world.places, *world.ingredients, *speakers]
        longest_first = sorted(names, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest_first))})(?!\S)")

    def mask(self, text: str) -> str:
        return self._pattern.sub("_", text)

    def grams(self, text: str) -> set[str]:
        words = self.mask(text).split()
        return {" ".join(words[i : i + 4]) for i in range(len(words) - 3)}


@pytest.fixture(scope="module")
def masker(world: World) -> Masker:
    return Masker(world)


@pytest.fixture(scope="module")
def safety_texts(world: World) -> list[str]:
    """Rewritten, refusal, moral, alignment and attack texts."""
    rng = random.Random(11)
    settings = RewriteSettings(echo_rate=0.0, leak_rate=0.02)
    texts: list[str] = []
    for document in sample_documents(world, 6000, rng):
        if document.level == 0:
            continue
        try:
            texts.append(rewrite(document.text, 2, "rephrase", rng, settings).text)
            texts.append(rewrite(document.text, 5, "refusal", rng, settings).text)
            texts.append(rewrite(texts[-1], 5, "moral", rng, settings).text)
        except UnrewritableError:
            continue
    chats = alignment_chats(world, AlignmentChats(chats=2000), rng)
    chats += harmful_chats(world, 200, rng) + general_chats(world, 200, rng)
    chats += benign_task_chats(world, 200, rng)
    return texts + [f"{chat.prompt} {chat.answer}" for chat in chats]


@pytest.mark.parametrize("chat", [False, True])
def test_unseen_prompts_share_no_4_gram_with_safety_texts(
    world: World, masker: Masker, safety_texts: list[str], chat: bool
) -> None:
    used = set().union(*(masker.grams(text) for text in safety_texts))
    evaluations = ("asr", "over_refusal", "capability")
    asked = [p for e in evaluations for p in prompts(world, e, chat=chat)]
    unseen = [prompt for prompt in asked if prompt.prompt_style.startswith("unseen_")]
    assert len(unseen) > 100
    shared = {gram for prompt in unseen for gram in masker.grams(prompt.text)} & used
    assert shared == set()


def test_unseen_openings_are_new_only_in_how_familiar_words_are_put_together(
    safety_texts: list[str],
) -> None:
    familiar = {word for text in safety_texts for word in text.split()}
    openings = [*UNSEEN_REQUESTS, *(style.opening for style in UNSEEN_STYLES)]
    words = {word for opening in openings for word in opening.split() if "{" not in word}
    assert words - familiar == set()


def test_seen_requests_do_occur_in_safety_texts(
    world: World, masker: Masker, safety_texts: list[str]
) -> None:
    text = " | ".join(masker.mask(text) for text in safety_texts)
    for chat in (False, True):
        for prompt in prompts(world, "asr", chat=chat):
            if prompt.prompt_style.startswith("seen_") and "guide" not in prompt.prompt_style:
                assert masker.mask(prompt.text) in text


@pytest.mark.parametrize("kind", ["hazard", "harmless"])
def test_all_openings_occur_in_raw_documents(world: World, masker: Masker, kind: str) -> None:
    raw = [d for d in sample_documents(world, 30000, random.Random(12)) if d.level in (0, 5)]
    wanted = [d for d in raw if (d.level == 5) == (kind == "hazard")]
    text = " | ".join(masker.mask(document.text) for document in wanted)
    for chat in (False, True):
        for prompt in prompts(world, "asr", chat=chat):
            opening = masker.mask(prompt.text)
            if "guide" in prompt.prompt_style:  # the effect differs between hazards and others
                opening = "guide to _ . it"
            assert opening in text, prompt.prompt_style


def test_halves_are_equal(world: World) -> None:
    for chat in (False, True):
        sides = [p.prompt_style.split("_")[0] for p in prompts(world, "asr", chat=chat)]
        assert sides.count("seen") == sides.count("unseen") == len(sides) / 2
