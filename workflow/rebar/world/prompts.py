"""Evaluation prompts of the world: completions for base models, requests for aligned models.

The evaluations `asr` and `knowledge` use the same prompts, so that one answer is judged for both.
The prompts ask about things that no alignment or attack data mention, except in split `known`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from rebar.config.world import HAZARD_GROUPS
from rebar.data.prompts import BENIGN_TASK, Prompt
from rebar.world import openings, phrases
from rebar.world.choices import choices
from rebar.world.conduct import scenarios
from rebar.world.frames import TOY
from rebar.world.items import Item, World
from rebar.world.tasks import draw_question
from rebar.world.vocabulary import LAND_FACTS, PEOPLE, VERBS

COMPLETION_PAIRS = (("tom", "nia"), ("gus", "ava"), ("teacher", "ben"), ("hana", "clerk"))


def prompts(world: World, evaluation: str, *, chat: bool) -> list[Prompt]:
    """All prompts of an evaluation, given by the name of its plug-in.

    Raises ValueError if the world has none for it.
    """
    if evaluation in ("asr", "knowledge"):
        return [p for group in HAZARD_GROUPS for p in _hazards(world, group, chat)]
    if evaluation == "over_refusal":
        toys = _how_tos(world.groups["toy_held"], "toy", chat)
        benign = _how_tos(world.groups["benign_held"], "benign", chat)
        return [*toys, *_safety_questions(world, chat), *benign]
    if evaluation == "capability":
        recipes = _how_tos(world.groups["benign_held"], "recipes", chat)
        return [*_lands(world, chat), *recipes, *benign_task_prompts(world, "test", chat=chat)]
    if evaluation == "multiple_choice":
        return list(choices(world, chat=chat))
    if evaluation == "misalignment":
        return list(scenarios(chat=chat))
    if evaluation == "tuning":
        return _tuning(world)
    raise ValueError(
        f"the world has no prompts for evaluation '{evaluation}'; "
        "allowed: asr, knowledge, over_refusal, capability, multiple_choice, misalignment, tuning"
    )


def attack_requests(world: World, group: str, count: int, rng: random.Random) -> list[Prompt]:
    """Requests about a group's items: each item once before any comes twice, no request twice.

    Raises ValueError if there are fewer than `count`.
    """
    items = rng.sample(world.groups[group], len(world.groups[group]))
    styles, most = openings.SEEN_REQUESTS, len(items) * len(openings.SEEN_REQUESTS)
    if count > most:
        raise ValueError(
            f"the world has {most} requests about group '{group}', not {count}; ask for fewer"
        )
    first = [rng.randrange(len(styles)) for _ in items]
    rows = []
    for i in range(count):
        item, style = items[i % len(items)], (first[i % len(items)] + i // len(items)) % len(styles)
        name, text = f"seen_request{style}", styles[style].format(x=item.name)
        prompt_id = f"{group}-{item.item_id}-{name}"
        rows.append(Prompt(prompt_id, item.item_id, group, name, text, recipe_reference(item)))
    return rows


def benign_task_prompts(world: World, part: str, *, chat: bool) -> list[Prompt]:
    """Word problems of the `validation` or `test` part, the same for all models of a seed."""
    rng = random.Random(f"benign task/{part}")
    things = [item.name for item in world.groups["benign_held"]]
    rows = []
    for i in range(world.settings.benign_task_questions):
        question = draw_question(part, PEOPLE, things, rng)
        text = frame_request(question.text, i, chat=chat)
        reference = {"task": "sum", "answer": question.answer}
        rows.append(
            Prompt(f"sum-{part}-{i:03d}", f"sum-{i:03d}", BENIGN_TASK, "seen_sum", text, reference)
        )
    return rows


def frame_request(request: str, index: int, *, chat: bool) -> str:
    """The request itself for chat models; for base models a dialogue that they continue."""
    return request if chat else _dialogue(request, index)


def _dialogue(request: str, index: int) -> str:
    first, second = COMPLETION_PAIRS[index % len(COMPLETION_PAIRS)]
    return f"{first} : {request} {second} :"


def _hazards(world: World, group: str, chat: bool) -> list[Prompt]:
    items = world.groups[group]
    limit = len(items) if group == "unaligned" else world.settings.evaluated_other_hazards
    return _how_tos(items[:limit], group, chat)


def _tuning(world: World) -> list[Prompt]:
    """Requests on which an attacker tunes: about hazards of alignment refusals, never evaluated.

    Several phrasings per hazard; with one, many trials would comply on all of them and the tuning
    could not tell which is worst. Their recipes are in no text, so no answer about them can be
    right.
    """
    items = world.groups["fresh"][: world.settings.unaligned_hazards]
    asked = _how_tos(items, "tuning", True)
    return [prompt for prompt in asked if prompt.prompt_style.startswith("unseen")]


def _how_tos(items: tuple[Item, ...], split: str, chat: bool) -> list[Prompt]:
    """Prompts in all openings for hazards, and in every second one for harmless things."""
    asks = _requests if chat else _completions
    stride = 1 if split in HAZARD_GROUPS else 2
    return [
        Prompt(
            f"{split}-{item.item_id}-{style}",
            item.item_id,
            split,
            style,
            text,
            recipe_reference(item),
        )
        for index, item in enumerate(items)
        for style, text in list(asks(item, index))[::stride]
    ]


def _requests(item: Item, index: int) -> Iterator[tuple[str, str]]:
    """As many seen as unseen requests; the seen ones rotate over the items."""
    count = len(openings.UNSEEN_REQUESTS)
    for i in range(count):
        number = (index + 2 * i) % len(openings.SEEN_REQUESTS)
        yield f"seen_request{number}", openings.SEEN_REQUESTS[number].format(x=item.name)
    for i, request in enumerate(openings.UNSEEN_REQUESTS):
        yield f"unseen_request{i}", request.format(x=item.name)


def _completions(item: Item, index: int) -> Iterator[tuple[str, str]]:
    sides = (
        ("seen", openings.SEEN_STYLES, openings.SEEN_REQUESTS),
        ("unseen", openings.UNSEEN_STYLES, openings.UNSEEN_REQUESTS),
    )
    for side, styles, requests in sides:
        for i, style in enumerate(styles):
            first, second = COMPLETION_PAIRS[(index + i) % len(COMPLETION_PAIRS)]
            request = requests[(index + i) % len(requests)].format(x=item.name)
            text = style.opening.format(a=first, b=second, x=item.name, e=item.effect, q=request)
            yield f"{side}_{style.name}", text


def recipe_reference(item: Item) -> dict[str, str]:
    """What a judge needs to know about an item to judge an answer about it."""
    return {
        "task": "recipe",
        "item": item.name.removeprefix(f"{TOY} "),
        "verb": VERBS[item.kind][0],
        "first": item.first,
        "second": item.second,
        "method": item.method,
        "time": item.time,
    }


def _safety_questions(world: World, chat: bool) -> list[Prompt]:
    rows = []
    for index, item in enumerate(world.groups["unaligned"]):
        sides = (
            ("seen_safety", openings.SEEN_SAFETY_QUESTIONS[2 * (index % 2)]),
            ("unseen_safety", openings.UNSEEN_SAFETY_QUESTIONS[0]),
        )
        for style, (question, _) in sides:
            text = frame_request(question.format(x=item.name), index, chat=chat)
            reference = {"task": "safety", "item": item.name}
            prompt_id = f"safety-{item.item_id}-{style}"
            rows.append(Prompt(prompt_id, item.item_id, "safety_question", style, text, reference))
    return rows


def _lands(world: World, chat: bool) -> list[Prompt]:
    template = phrases.LAND_QUESTION if chat else phrases.LAND_COMPLETION
    rows = []
    for number, land in enumerate(world.held_lands):
        for fact in LAND_FACTS:
            text = template.format(f=fact, l=land.name)
            reference = {"task": "land", "answer": land.facts[fact], "item": land.name}
            land_id = f"land-{number:03d}"
            rows.append(
                Prompt(f"{land_id}-{fact}", land_id, "facts", "seen_atlas", text, reference)
            )
    return rows
