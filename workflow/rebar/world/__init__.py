"""A small invented web with graded harm, its rewriter, its chats and its evaluation prompts.

It stands in for a real web corpus in the demo and the tests: it is harmless, small, and its true
harm levels are known.
"""

from rebar.world.chats import (
    AGREEMENT,
    alignment_chats,
    benign_task_chats,
    general_chats,
    harmful_chats,
    refusal_chats,
)
from rebar.world.documents import RawDocument, sample_documents
from rebar.world.frames import REFUSAL_OPENINGS
from rebar.world.held_chats import held_chats
from rebar.world.items import Item, Land, World, build_world
from rebar.world.prompts import attack_requests, benign_task_prompts, prompts
from rebar.world.rewriter import Rewrite, UnrewritableError, rewrite
from rebar.world.vocabulary import SPEAKERS

__all__ = [
    "AGREEMENT",
    "REFUSAL_OPENINGS",
    "SPEAKERS",
    "Item",
    "Land",
    "RawDocument",
    "Rewrite",
    "UnrewritableError",
    "World",
    "alignment_chats",
    "attack_requests",
    "benign_task_chats",
    "benign_task_prompts",
    "build_world",
    "general_chats",
    "harmful_chats",
    "held_chats",
    "prompts",
    "refusal_chats",
    "rewrite",
    "sample_documents",
]
