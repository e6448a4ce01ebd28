"""Groups are disjoint, names split into syllables, a seed gives one world."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from rebar.config.world import HAZARD_GROUPS
from rebar.config.world import World as WorldSettings
from rebar.world import World, build_world
from rebar.world.items import CORPUS_HAZARDS, KIND_WORDS
from rebar.world.lexicon import GRAMMAR_WORDS


def test_group_sizes_are_the_settings(world: World) -> None:
    sizes = {group: len(items) for group, items in world.groups.items()}
    assert sizes == {
        "known": 32,
        "unaligned": 24,
        "unrewritten": 8,
        "novel": 8,
        "fresh": 160,
        "benign_aligned": 48,
        "benign_held": 32,
        "toy_aligned": 24,
        "toy_held": 12,
        "guarded": 0,
    }


def test_no_name_is_used_twice(world: World) -> None:
    first_words = [i.name.removeprefix("toy ").split()[0] for i in world.items(*world.groups)]
    land_words = [word for land in world.lands for word in (land.name, *land.facts.values())]
    names = [*first_words, *land_words, *world.places, *world.ingredients]
    assert len(names) == len(set(names))


def test_no_grammar_word_is_a_prefix_of_a_name(world: World) -> None:
    names = [i.name.removeprefix("toy ").split()[0] for i in world.items(*world.groups)]
    names += [*world.places, *world.ingredients]
    assert not [name for name in names for word in GRAMMAR_WORDS if name.startswith(word)]


def test_hazard_flag_covers_exactly_hazard_groups(world: World) -> None:
    for group, items in world.groups.items():
        expected = group in (*HAZARD_GROUPS, "fresh", "guarded")
        assert all(item.is_hazard == expected for item in items)


def test_unaligned_kind_words_are_in_no_alignment_group() -> None:
    for group in ("known", "fresh", "benign_aligned"):
        assert not set(KIND_WORDS["unaligned"]) & set(KIND_WORDS[group])
    assert set(CORPUS_HAZARDS) == {*HAZARD_GROUPS, "guarded"} - {"novel"}


def test_lands_are_halved(world: World) -> None:
    assert world.aligned_lands + world.held_lands == world.lands
    assert len(world.aligned_lands) == len(world.held_lands) == 12


def test_same_seed_same_world_in_another_process(world: World) -> None:
    code = (
        "from rebar.config.world import World as S; from rebar.world import build_world; "
        "w = build_world(S(), 3); print([i for i in w.items(*w.groups)], w.lands, w.places)"
    )
    environment = {"PYTHONPATH": "workflow", "PYTHONHASHSEED": "77", "PATH": ""}
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    here = f"{list(world.items(*world.groups))} {world.lands} {world.places}"
    assert output.strip() == here
    assert build_world(WorldSettings(), 4).places != world.places


@pytest.mark.parametrize("key", ["level_shares", "ordinary_shares"])
def test_shares_must_sum_to_one(key: str) -> None:
    value = [0.5, 0.1, 0.1, 0.1, 0.1, 0.2] if key == "level_shares" else {"how_to": 0.9}
    with pytest.raises(ValidationError, match=f"world.{key} sums to"):
        WorldSettings.model_validate({key: value})


def test_guarded_hazards_leave_all_else_as_it_was(world: World) -> None:
    more = build_world(world.settings.model_copy(update={"guarded_hazards": 12}), 3)
    assert len(more.groups["guarded"]) == 12
    assert {group: more.groups[group] for group in world.groups if group != "guarded"} == {
        group: items for group, items in world.groups.items() if group != "guarded"
    }
    assert (more.lands, more.places, more.ingredients) == (
        world.lands,
        world.places,
        world.ingredients,
    )
    assert {item.name.split()[1] for item in more.groups["guarded"]} <= set(KIND_WORDS["known"])
