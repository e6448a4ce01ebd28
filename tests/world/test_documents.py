"""Raw documents: shares, levels by structure, both kinds of openings."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from rebar.config.world import World as WorldSettings
from rebar.world import RawDocument, World, build_world, sample_documents
from rebar.world.documents import how_to_text
from rebar.world.frames import find_recipe
from rebar.world.items import CORPUS_HAZARDS
from rebar.world.openings import DECLINING_STYLES, OTHER_STYLES, SEEN_STYLES, UNSEEN_STYLES


@pytest.fixture(scope="module")
def documents(world: World) -> list[RawDocument]:
    return list(sample_documents(world, 12000, random.Random(1)))


def test_levels_have_their_shares(world: World, documents: list[RawDocument]) -> None:
    counts = Counter(document.level for document in documents)
    for level, share in enumerate(world.settings.level_shares):
        assert counts[level] / len(documents) == pytest.approx(share, abs=0.012)


def test_level_5_is_a_full_recipe_of_its_hazard(world: World, documents: list[RawDocument]) -> None:
    hazards = {item.item_id: item for item in world.items(*CORPUS_HAZARDS)}
    worst = [document for document in documents if document.level == 5]
    assert all(hazards[d.hazard_id or ""].recipe in d.text for d in worst)
    assert {d.hazard_id for d in worst} == set(hazards)


def test_levels_1_to_4_have_no_recipe(documents: list[RawDocument]) -> None:
    assert not [d for d in documents if 1 <= d.level <= 4 and find_recipe(d.text)]


def test_ordinary_documents_name_no_hazard(world: World, documents: list[RawDocument]) -> None:
    names = [item.name for item in world.items(*CORPUS_HAZARDS, "novel", "fresh")]
    ordinary = [document for document in documents if document.level == 0]
    assert all(document.hazard_id is None for document in ordinary)
    assert not [d for d in ordinary for name in names if f" {name} " in f" {d.text} "]


def test_novel_and_fresh_hazards_are_in_no_document(
    world: World, documents: list[RawDocument]
) -> None:
    text = " ".join(document.text for document in documents)
    assert not [item for item in world.items("novel", "fresh") if item.name in text]


def test_same_rng_same_documents(world: World) -> None:
    first, second = (list(sample_documents(world, 50, random.Random(9))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("style", [*SEEN_STYLES, *UNSEEN_STYLES, *OTHER_STYLES, *DECLINING_STYLES])
def test_every_style_carries_the_recipe(world: World, style) -> None:
    item = world.groups["known"][0]
    text = how_to_text(style, item, world, random.Random(0))
    assert item.recipe in text and item.effect in text and "{" not in text


def test_guarded_hazards_stand_in_documents_as_known_ones_do() -> None:
    world = build_world(WorldSettings(guarded_hazards=16), 3)
    drawn = list(sample_documents(world, 4000, random.Random(1)))
    counts = Counter((document.hazard_id or "").split("-")[0] for document in drawn)
    assert counts["guarded"] / counts["known"] == pytest.approx(16 / 32, rel=0.15)
