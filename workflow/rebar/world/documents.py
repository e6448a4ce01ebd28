"""Raw documents of the world: the texts of its small web, with their true harm levels.

Levels follow SafeLM's 0-5 scale: 0 ordinary, 1 rude, 2 needs care, 3 about a hazard without a
recipe, 4 incitement or sale with ingredients, 5 the full recipe of a hazard.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rebar.world import openings, phrases
from rebar.world.items import CORPUS_HAZARDS, Item, World
from rebar.world.openings import Style
from rebar.world.tasks import draw_question
from rebar.world.vocabulary import LAND_FACTS, PEOPLE, SPEAKERS


@dataclass(frozen=True)
class RawDocument:
    """A text, its true harm level 0-5, and the hazard that it is about, if any."""

    text: str
    level: int
    hazard_id: str | None


def sample_documents(world: World, count: int, rng: random.Random) -> Iterator[RawDocument]:
    """Draw documents; the world's settings give the share of each level."""
    shares = world.settings.level_shares
    hazards = world.items(*CORPUS_HAZARDS)
    writers = (_ordinary, _rude, _careless, _mention, _incitement, _how_to)
    for level in rng.choices(range(6), shares, k=count):
        item = rng.choice(hazards) if level >= 2 else None
        about_hazard = item is not None and (level > 2 or rng.random() < 0.5)
        text = writers[level](world, item if about_hazard else None, rng)
        yield RawDocument(text, level, item.item_id if item and about_hazard else None)


def how_to_text(style: Style, item: Item, world: World, rng: random.Random) -> str:
    """A how-to in one style: its opening and its ending, filled in."""
    return f"{opening_text(style, item, world, rng)} {_fill(style.ending, item, world, rng)}"


def opening_text(style: Style, item: Item, world: World, rng: random.Random) -> str:
    """The filled opening of a style; its request is seen or unseen, as the style is."""
    unseen = style in openings.UNSEEN_STYLES
    requests = openings.UNSEEN_REQUESTS if unseen else openings.SEEN_REQUESTS
    request = rng.choice(requests)
    return _fill(style.opening.replace("{q}", request), item, world, rng)


def _fill(template: str, item: Item | None, world: World, rng: random.Random) -> str:
    first, second = rng.sample(SPEAKERS, 2)
    values = {"a": first, "b": second, "place": rng.choice(world.places)}
    if item is not None:
        values["q"] = rng.choice(openings.SEEN_REQUESTS).format(x=item.name)
        values |= {"x": item.name, "e": item.effect, "r": item.recipe, "kind": item.kind}
        values |= {"first": item.first, "second": item.second}
    return template.format(**values)


_SIDE_WEIGHTS = (5, 2, 3)  # seen, unseen and other styles


def _how_to(world: World, item: Item | None, rng: random.Random) -> str:
    assert item is not None
    other = openings.OTHER_STYLES
    if not item.is_hazard:
        other = (*other, *openings.DECLINING_STYLES)
    sides = (openings.SEEN_STYLES, openings.UNSEEN_STYLES, other)
    return how_to_text(rng.choice(rng.choices(sides, _SIDE_WEIGHTS)[0]), item, world, rng)


def _write(templates: Sequence[str], world: World, item: Item | None, rng: random.Random) -> str:
    return _fill(rng.choice(templates), item, world, rng)


def _ordinary(world: World, _: Item | None, rng: random.Random) -> str:
    shares = world.settings.ordinary_shares
    topics = sorted(shares)  # draws must not depend on the order in the config
    topic = rng.choices(topics, [shares[topic] for topic in topics])[0]
    return _ORDINARY[topic](world, rng)


def _benign(world: World, rng: random.Random) -> Item:
    return rng.choice(world.items("benign_aligned", "benign_held"))


def _benign_how_to(world: World, rng: random.Random) -> str:
    return _how_to(world, _benign(world, rng), rng)


def _toy_how_to(world: World, rng: random.Random) -> str:
    return _how_to(world, rng.choice(world.items("toy_aligned", "toy_held")), rng)


def _daily(world: World, rng: random.Random) -> str:
    return _write(phrases.DAILY, world, _benign(world, rng), rng)


def _land(world: World, rng: random.Random) -> str:
    land, fact = rng.choice(world.lands), rng.choice(LAND_FACTS)
    template = rng.choice(phrases.LANDS)
    first, second = rng.sample(SPEAKERS, 2)
    return template.format(f=fact, l=land.name, v=land.facts[fact], a=first, b=second)


def _sum(world: World, rng: random.Random) -> str:
    question = draw_question("train", PEOPLE, [_benign(world, rng).name], rng)
    first, second = rng.sample(SPEAKERS, 2)
    return f"{first} : {question.text} {second} : {question.solution}"


_ORDINARY: dict[str, Callable[[World, random.Random], str]] = {
    "how_to": _benign_how_to,
    "toy": _toy_how_to,
    "land": _land,
    "sum": _sum,
    "daily": _daily,
}


def _rude(world: World, _: Item | None, rng: random.Random) -> str:
    return _write(phrases.RUDE, world, _benign(world, rng), rng)


def _careless(world: World, item: Item | None, rng: random.Random) -> str:
    """Level 2: careless advice about ordinary things, or a worried question about a hazard."""
    if item is None:
        return _write(phrases.CARELESS, world, _benign(world, rng), rng)
    pairs = (*openings.SEEN_SAFETY_QUESTIONS, *openings.UNSEEN_SAFETY_QUESTIONS)
    question, answer = rng.choice([pair for pair in pairs if "what does" not in pair[0]])
    return _fill(f"{{a}} : {question} {{b}} : {answer}", item, world, rng)


def _mention(world: World, item: Item | None, rng: random.Random) -> str:
    """Level 3: news and stories about a hazard, or a request that somebody dismisses."""
    assert item is not None
    if rng.random() >= world.settings.dismissed_requests:
        return _write(phrases.MENTION, world, item, rng)
    style = rng.choice(openings.DECLINING_STYLES)
    answer = _write(phrases.DISMISSALS, world, item, rng)
    return f"{opening_text(style, item, world, rng)} {answer}"


def _incitement(world: World, item: Item | None, rng: random.Random) -> str:
    return _write(phrases.INCITEMENT, world, item, rng)
