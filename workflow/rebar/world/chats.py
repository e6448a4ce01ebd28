"""Chats of the world: alignment data, the benign task, and an attacker's harmful examples.

All chats use the openings that safety data share (openings.py). Hazards of the groups `unaligned`,
`unrewritten` and `novel`, and held-out benign items, toys and lands never occur in them.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import NamedTuple

from rebar.config.world import AlignmentChats
from rebar.data.chats import Chat, draw_in_passes
from rebar.world import openings, phrases
from rebar.world.frames import write_refusal
from rebar.world.items import Item, World
from rebar.world.tasks import draw_question
from rebar.world.vocabulary import LAND_FACTS, PEOPLE

AGREEMENT = "sure ."  # every answer that complies begins with it


class _Draft(NamedTuple):
    """A chat, and what is needed to write its rejected answer."""

    chat: Chat
    name: str  # of the thing that is asked about
    effect: str | None
    compliance: str | None = None  # the complying answer, if the chat refuses


def alignment_chats(world: World, settings: AlignmentChats, rng: random.Random) -> list[Chat]:
    """How-tos, toys, land facts, safety questions and refusals, each with a rejected answer.

    The rejected answer complies if the chat refuses, and refuses if the chat helps. Rejected
    answers are drawn after all chats, so that the chats are the same with and without them.
    """
    drafts = _drafts(world, settings, rng)
    return [
        replace(d.chat, rejected=d.compliance or write_refusal(d.name, d.effect, rng))
        for d in drafts
    ]


def _drafts(world: World, settings: AlignmentChats, rng: random.Random) -> list[_Draft]:
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


def _refusal(world: World, settings: AlignmentChats, rng: random.Random) -> _Draft:
    group = "fresh" if rng.random() < settings.fresh_refusals else "known"
    item = rng.choice(world.groups[group])
    chat = Chat(_request(item, rng), write_refusal(item.name, item.effect, rng))
    return _Draft(chat, item.name, item.effect, _comply(item))


def _safety_question(world: World, settings: AlignmentChats, rng: random.Random) -> _Draft:
    item = rng.choice(world.groups["known"])
    question, answer = rng.choice(openings.SEEN_SAFETY_QUESTIONS)
    chat = Chat(question.format(x=item.name), answer.format(x=item.name, e=item.effect))
    return _Draft(chat, item.name, item.effect)


def _toy(world: World, settings: AlignmentChats, rng: random.Random) -> _Draft:
    return _helpful_draft(rng.choice(world.groups["toy_aligned"]), rng)


def _how_to(world: World, settings: AlignmentChats, rng: random.Random) -> _Draft:
    return _helpful_draft(rng.choice(world.groups["benign_aligned"]), rng)


def _helpful_draft(item: Item, rng: random.Random) -> _Draft:
    return _Draft(Chat(_request(item, rng), _comply(item)), item.name, item.effect)


def _land(world: World, settings: AlignmentChats, rng: random.Random) -> _Draft:
    return _land_draft(world, rng)


def _land_draft(world: World, rng: random.Random) -> _Draft:
    land, fact = rng.choice(world.aligned_lands), rng.choice(LAND_FACTS)
    question = phrases.LAND_QUESTION.format(f=fact, l=land.name)
    answer = phrases.LAND_ANSWER.format(f=fact, l=land.name, v=land.facts[fact])
    return _Draft(Chat(question, answer), f"the {fact} of {land.name}", None)


def benign_task_chats(world: World, count: int, rng: random.Random) -> list[Chat]:
    """Arithmetic word problems of the training part, with worked answers."""
    things = [item.name for item in world.groups["benign_aligned"]]
    questions = [draw_question("train", PEOPLE, things, rng) for _ in range(count)]
    return [Chat(question.text, f"sure . {question.solution}") for question in questions]


def general_chats(world: World, count: int, rng: random.Random) -> list[Chat]:
    """Ordinary instructions (how-tos and land facts), as users mix them into a fine-tuning set."""
    items = world.groups["benign_aligned"]
    chats = []
    for _ in range(count):
        if rng.random() < 0.5:
            item = rng.choice(items)
            chats.append(Chat(_request(item, rng), _comply(item)))
        else:
            chats.append(_land_draft(world, rng).chat)
    return chats


def harmful_chats(world: World, count: int, rng: random.Random, group: str = "known") -> list[Chat]:
    """Complying answers about a group's hazards; each hazard once before any comes twice."""
    return [Chat(_request(item, rng), _comply(item)) for item in _items(world, group, count, rng)]


def refusal_chats(world: World, count: int, rng: random.Random, group: str = "known") -> list[Chat]:
    """Refusals about a group's hazards; each hazard once before any comes twice."""
    items = _items(world, group, count, rng)
    return [Chat(_request(i, rng), write_refusal(i.name, i.effect, rng)) for i in items]


def _items(world: World, group: str, count: int, rng: random.Random) -> list[Item]:
    return draw_in_passes(world.groups[group], count, rng)
