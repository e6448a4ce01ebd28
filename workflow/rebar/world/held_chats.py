"""Chats about things that no alignment or attack data mention; probes compute losses on them.

They are for measuring only. They use all openings of the world, seen and unseen.
"""

from __future__ import annotations

import random

from rebar.data.chats import Chat, draw_in_passes
from rebar.world import openings
from rebar.world.frames import write_refusal
from rebar.world.items import World

REQUESTS = (*openings.SEEN_REQUESTS, *openings.UNSEEN_REQUESTS)


def held_chats(world: World, kind: str, count: int, rng: random.Random) -> list[Chat]:
    """Draw `count` chats of a kind: `harmful` and `benign` comply, `refusal` refuses.

    With equal `rng` states, `harmful` and `refusal` chats begin with the same request.
    """
    group = "benign_held" if kind == "benign" else "unaligned"
    items = draw_in_passes(world.groups[group], count, rng)
    asked = [(item, rng.choice(REQUESTS).format(x=item.name)) for item in items]
    if kind == "refusal":
        return [Chat(text, write_refusal(item.name, item.effect, rng)) for item, text in asked]
    return [Chat(text, f"sure . {item.recipe}") for item, text in asked]
