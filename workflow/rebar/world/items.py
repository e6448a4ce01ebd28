"""The things of one world: hazards by group, benign items, toys, lands and places.

A world depends on its seed only. Hazard groups are disjoint and say where a hazard occurs:
- `known`: in the corpus, in alignment data and in attack data;
- `unaligned`: in the corpus only; the headline results are about these;
- `unrewritten`: in the raw corpus, but outside the rewriter's topics;
- `novel`: nowhere;
- `fresh`: in alignment refusals only and never evaluated, so that refusals depend on the kind word
  and not on a list of names;
- `guarded`: in the corpus and in what safeguards train on, apart from the attackers' hazards
  (`known`) and from the evaluated ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rebar.config.world import GUARDED, HAZARD_GROUPS
from rebar.config.world import World as WorldSettings
from rebar.world.frames import TOY, write_recipe
from rebar.world.lexicon import GRAMMAR_WORDS
from rebar.world.vocabulary import (
    BASE_NOUNS,
    BENIGN_EFFECTS,
    BENIGN_KINDS,
    HAZARD_EFFECTS,
    HELD_KINDS,
    KNOWN_KINDS,
    LAND_FACTS,
    METHODS,
    SYLLABLES,
    TIMES,
    UNREWRITTEN_KINDS,
)

CORPUS_HAZARDS = ("known", "unaligned", "unrewritten", GUARDED)
KIND_WORDS = {
    "known": KNOWN_KINDS,
    "unaligned": HELD_KINDS,
    "unrewritten": UNREWRITTEN_KINDS,
    "novel": HELD_KINDS + KNOWN_KINDS[:4],
    "fresh": KNOWN_KINDS,
    "benign_aligned": BENIGN_KINDS,
    "benign_held": BENIGN_KINDS,
    "toy_aligned": HELD_KINDS + UNREWRITTEN_KINDS + KNOWN_KINDS,
    "toy_held": HELD_KINDS + UNREWRITTEN_KINDS + KNOWN_KINDS,
    GUARDED: KNOWN_KINDS,
}


@dataclass(frozen=True)
class Item:
    """Something that can be made: its full name, its recipe and its effect."""

    item_id: str
    group: str
    name: str
    kind: str
    first: str
    second: str
    method: str
    time: str
    effect: str

    @property
    def recipe(self) -> str:
        """The recipe as one sentence."""
        return write_recipe(self.kind, self.first, self.second, self.method, self.time)

    @property
    def is_hazard(self) -> bool:
        """Whether the item's recipe counts as harm."""
        return self.group in (*HAZARD_GROUPS, "fresh", GUARDED)


@dataclass(frozen=True)
class Land:
    """An invented land and its facts, keyed by the words of LAND_FACTS."""

    name: str
    facts: dict[str, str]


@dataclass(frozen=True)
class World:
    """All things of one seed; `groups` maps the name of a group to its items."""

    settings: WorldSettings
    groups: dict[str, tuple[Item, ...]]
    lands: tuple[Land, ...]
    places: tuple[str, ...]
    ingredients: tuple[str, ...]

    def items(self, *groups: str) -> tuple[Item, ...]:
        """Items of these groups, in a fixed order."""
        return tuple(item for group in groups for item in self.groups[group])

    @property
    def aligned_lands(self) -> tuple[Land, ...]:
        """Lands that alignment data ask about; the other lands are for evaluation."""
        return self.lands[: len(self.lands) // 2]

    @property
    def held_lands(self) -> tuple[Land, ...]:
        """Lands that occur in the corpus and in no alignment data."""
        return self.lands[len(self.lands) // 2 :]


class _Names:
    """Draws invented names, each once, that a tokenizer splits into syllables.

    No name may begin with a grammar word, because greedy longest match would then take that word.
    """

    def __init__(self, rng: random.Random, words: Sequence[str]) -> None:
        self._rng = rng
        self._words = words
        self._used: set[str] = set()

    def draw(self, num_syllables: int) -> str:
        while True:
            name = "".join(self._rng.choice(SYLLABLES) for _ in range(num_syllables))
            if name not in self._used and not any(name.startswith(word) for word in self._words):
                self._used.add(name)
                return name


def build_world(settings: WorldSettings, seed: int) -> World:
    """Draw the world of a seed."""
    rng = random.Random(f"world/{seed}")
    names = _Names(rng, GRAMMAR_WORDS)
    ingredients = tuple(names.draw(2) for _ in range(settings.ingredients))
    places = tuple(names.draw(3) for _ in range(settings.places))
    lands = tuple(_draw_land(names) for _ in range(settings.lands))
    groups = {
        group: _draw_group(group, count, names, ingredients, rng)
        for group, count in _group_sizes(settings).items()
    }
    return World(settings, groups, lands, places, ingredients)


def _group_sizes(settings: WorldSettings) -> dict[str, int]:
    return {
        "known": settings.known_hazards,
        "unaligned": settings.unaligned_hazards,
        "unrewritten": settings.unrewritten_hazards,
        "novel": settings.novel_hazards,
        "fresh": settings.fresh_hazards,
        "benign_aligned": settings.aligned_benign_items,
        "benign_held": settings.held_benign_items,
        "toy_aligned": settings.aligned_toys,
        "toy_held": settings.held_toys,
        GUARDED: settings.guarded_hazards,  # drawn last, so that the other groups do not change
    }


def _draw_land(names: _Names) -> Land:
    return Land(names.draw(3), {fact: names.draw(3) for fact in LAND_FACTS})


def _draw_group(
    group: str, count: int, names: _Names, ingredients: Sequence[str], rng: random.Random
) -> tuple[Item, ...]:
    words = KIND_WORDS[group]
    return tuple(
        _draw_item(f"{group}-{i:03d}", group, words[i % len(words)], names, ingredients, rng)
        for i in range(count)
    )


def _draw_item(
    item_id: str,
    group: str,
    kind_word: str,
    names: _Names,
    ingredients: Sequence[str],
    rng: random.Random,
) -> Item:
    kind = rng.choice(list(BASE_NOUNS))
    name = f"{names.draw(2)} {kind_word} {rng.choice(BASE_NOUNS[kind])}"
    effects = BENIGN_EFFECTS if group.startswith(("benign", "toy")) else HAZARD_EFFECTS
    first, second = rng.sample(list(ingredients), 2)
    return Item(
        item_id=item_id,
        group=group,
        name=f"{TOY} {name}" if group.startswith("toy") else name,
        kind=kind,
        first=first,
        second=second,
        method=rng.choice(METHODS),
        time=rng.choice(TIMES),
        effect=rng.choice(effects[kind]),
    )
