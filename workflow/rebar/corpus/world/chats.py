"""Chats of the world: alignment data, the benign task, and an attacker's harmful examples.

All of them use the openings that safety data share (openings.py); `unaligned`, `unrewritten` and
`novel` hazards, held benign items, held toys and held lands never occur in them.
"""

from __future__ import annotations

import random

from rebar.corpus.chats import Chat, Preference
from rebar.corpus.world import openings, phrases
from rebar.corpus.world.frames import write_refusal
from rebar.corpus.world.items import Item, World
from rebar.corpus.world.tasks import draw_question
from rebar.corpus.world.vocabulary import LAND_FACTS, PEOPLE
from rebar.settings.world import AlignmentChats

AGREEMENT = "sure ."  # how every compliant answer begins


def alignment_chats(world: World, settings: AlignmentChats, rng: random.Random) -> list[Chat]:
    """Supervised examples: how-tos, toys, land facts, safe questions, and refusals."""
    writers = {
        "refusal": _refusal,
        "safety_question": _safety_question,
        "toy": _toy,
        "land": _land,
        "how_to": _how_to,
    }
    shares = {
        "refusal": settings.refusals,
        "safety_question": settings.safety_questions,
        "toy": settings.toys,
        "land": settings.lands,
    }
    shares["how_to"] = 1.0 - sum(shares.values())
    kinds = rng.choices(list(shares), list(shares.values()), k=settings.chats)
    return [writers[kind](world, settings, rng) for kind in kinds]


def _request(item: Item, rng: random.Random) -> str:
    return rng.choice(openings.SEEN_REQUESTS).format(x=item.name)


def _comply(item: Item) -> str:
    return f"{AGREEMENT} {item.recipe}"


def _refusal(world: World, settings: AlignmentChats, rng: random.Random) -> Chat:
    group = "fresh" if rng.random() < settings.fresh_refusals else "known"
    item = rng.choice(world.groups[group])
    return Chat(_request(item, rng), write_refusal(item.name, item.effect, rng))


def _safety_question(world: World, settings: AlignmentChats, rng: random.Random) -> Chat:
    item = rng.choice(world.groups["known"])
    question, answer = rng.choice(openings.SEEN_SAFETY_QUESTIONS)
    return Chat(question.format(x=item.name), answer.format(x=item.name, e=item.effect))


def _toy(world: World, settings: AlignmentChats, rng: random.Random) -> Chat:
    item = rng.choice(world.groups["toy_aligned"])
    return Chat(_request(item, rng), _comply(item))


def _how_to(world: World, settings: AlignmentChats, rng: random.Random) -> Chat:
    item = rng.choice(world.groups["benign_aligned"])
    return Chat(_request(item, rng), _comply(item))


def _land(world: World, settings: AlignmentChats, rng: random.Random) -> Chat:
    return _land_chat(world, rng)


def _land_chat(world: World, rng: random.Random) -> Chat:
    land, fact = rng.choice(world.aligned_lands), rng.choice(LAND_FACTS)
    question = phrases.LAND_QUESTION.format(f=fact, l=land.name)
    return Chat(question, phrases.LAND_ANSWER.format(f=fact, l=land.name, v=land.facts[fact]))


def benign_task_chats(world: World, count: int, rng: random.Random) -> list[Chat]:
    """Arithmetic word problems of the training part, with worked answers."""
    things = [item.name for item in world.groups["benign_aligned"]]
    questions = [draw_question("train", PEOPLE, things, rng) for _ in range(count)]
    return [Chat(question.text, f"sure . {question.solution}") for question in questions]


def general_chats(world: World, count: int, rng: random.Random) -> list[Chat]:
    """Ordinary instructions (how-tos and land facts) that users mix into a fine-tuning set."""
    items = world.groups["benign_aligned"]
    chats = []
    for _ in range(count):
        if rng.random() < 0.5:
            item = rng.choice(items)
            chats.append(Chat(_request(item, rng), _comply(item)))
        else:
            chats.append(_land_chat(world, rng))
    return chats


def harmful_chats(world: World, count: int, rng: random.Random, group: str = "known") -> list[Chat]:
    """Compliant answers on hazards of a group: every hazard once before any comes twice."""
    return [Chat(_request(item, rng), _comply(item)) for item in _items(world, group, count, rng)]


def refusal_chats(world: World, count: int, rng: random.Random, group: str = "known") -> list[Chat]:
    """Refusals on hazards of a group: every hazard once before any comes twice."""
    items = _items(world, group, count, rng)
    return [Chat(_request(i, rng), write_refusal(i.name, i.effect, rng)) for i in items]


def preferences(
    world: World, count: int, benign_share: float, rng: random.Random
) -> list[Preference]:
    """Refusals preferred on known hazards, helpful answers on harmless items and toys."""
    num_benign = round(benign_share * count)
    harmless = world.items("benign_aligned", "toy_aligned")
    pairs = [
        _preference(item, False, rng) for item in _items(world, "known", count - num_benign, rng)
    ]
    pairs += [_preference(rng.choice(harmless), True, rng) for _ in range(num_benign)]
    return pairs


def _preference(item: Item, is_benign: bool, rng: random.Random) -> Preference:
    request, refusal = _request(item, rng), write_refusal(item.name, item.effect, rng)
    answers = (_comply(item), refusal) if is_benign else (refusal, _comply(item))
    return Preference(request, *answers)


def _items(world: World, group: str, count: int, rng: random.Random) -> list[Item]:
    items: list[Item] = []
    while len(items) < count:
        items += rng.sample(world.groups[group], len(world.groups[group]))
    return items[:count]
