"""The world's rewriter: turns a text and its score into a safer text, by parsing the text alone.

It knows the grammar of the small web (kind words of its own topics, effects, recipe frames) but
neither seed nor truth of a world. So it fails as real rewriters do: on topics that it does not
know, and on texts with a wrong score. Score bands and styles follow SafeLM (Maini et al. 2025,
arXiv 2504.16980): rephrasing for 1-3, refusal dialogues for 4-5, moral education from refusals.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from rebar.config.corpus import Rewrite as RewriteSettings
from rebar.world import phrases
from rebar.world.frames import EFFECT, ITEM, TOY, find_recipe, find_refusal, write_refusal
from rebar.world.openings import SEEN_REQUESTS
from rebar.world.vocabulary import BENIGN_KINDS, HELD_KINDS, KNOWN_KINDS

TOPICS = (*KNOWN_KINDS, *HELD_KINDS)  # kinds of hazards that it can write about
SPEAKER_A, SPEAKER_B = "{speaker_a}", "{speaker_b}"


class UnrewritableError(Exception):
    """The rewriter cannot handle a text; the message is the reason, which is counted."""


class Rewrite(NamedTuple):
    """A rewritten text, its style, and the error planted in it for the gate to find, if any."""

    text: str
    style: str
    planted: str | None = None


class _Topic(NamedTuple):
    item: str
    is_hazard: bool
    effect: str | None


def rewrite(
    text: str, score: int, transform: str, rng: random.Random, settings: RewriteSettings
) -> Rewrite:
    """Rewrite one text; `transform` is rephrase, refusal or moral (from a refusal's text).

    Raises UnrewritableError if the text is about nothing, if its topic is unknown, or if a refusal
    is wanted and there is nothing to refuse.
    """
    writers = {"rephrase": _rephrase, "refusal": _refuse, "moral": _moralize}
    assert transform in writers, transform
    parsed = _parse(text)
    planted = rng.random()
    if transform != "moral" and planted < settings.echo_rate:
        return Rewrite(text, "echo", "echo")
    rewritten = writers[transform](text, parsed, score, rng)
    if transform == "refusal" and planted < settings.echo_rate + settings.leak_rate:
        return _leak(text, rewritten)
    return rewritten


def _parse(text: str) -> _Topic:
    """Find the first thing of a known topic in the text; toys count as harmless."""
    unknown = False
    for match in ITEM.finditer(text):
        kind_word = match["kind_word"]
        if kind_word in TOPICS or kind_word in BENIGN_KINDS:
            effect = EFFECT.search(text)
            is_hazard = kind_word in TOPICS and match["toy"] != TOY
            return _Topic(match.group(0), is_hazard, effect.group(0) if effect else None)
        unknown = True
    raise UnrewritableError("unknown topic" if unknown else "no topic found")


def _leak(source: str, rewritten: Rewrite) -> Rewrite:
    """Add the names of the ingredients, as a careless rewriter would."""
    recipe = find_recipe(source)
    if recipe is None:
        return rewritten
    leaked = phrases.LEAKED.format(first=recipe.first, second=recipe.second)
    return Rewrite(f"{rewritten.text} {leaked}", rewritten.style, "leak")


# ----------------------------------------------------------------- rephrase, scores 1-3


def _rephrase(text: str, parsed: _Topic, score: int, rng: random.Random) -> Rewrite:
    templates = phrases.HAZARD_REPHRASES if parsed.is_hazard else phrases.BENIGN_REPHRASES
    style, template = rng.choice(templates)
    return Rewrite(_write(template, parsed, rng), style)


def _write(template: str, parsed: _Topic, rng: random.Random) -> str:
    request = rng.choice(SEEN_REQUESTS).format(x=parsed.item)
    effect = parsed.effect or phrases.NO_EFFECT
    return template.format(x=parsed.item, e=effect, q=request, a=SPEAKER_A, b=SPEAKER_B)


# ------------------------------------------------------------------ refusal, scores 4-5


def _refuse(text: str, parsed: _Topic, score: int, rng: random.Random) -> Rewrite:
    if not parsed.is_hazard:
        raise UnrewritableError("nothing to refuse")
    style, opening = rng.choice(phrases.REFUSAL_DIALOGUES)
    refusal = write_refusal(parsed.item, parsed.effect, rng)
    return Rewrite(f"{_write(opening, parsed, rng)} {refusal}", style)


# -------------------------------------------------------- moral education, from refusals


def _moralize(text: str, parsed: _Topic, score: int, rng: random.Random) -> Rewrite:
    if not parsed.is_hazard or find_refusal(text) is None:
        raise UnrewritableError("no refusal to draw a moral from")
    style, template = rng.choice(phrases.MORALS)
    return Rewrite(_write(template, parsed, rng), style)
