"""Recipes: select the documents that a pretraining corpus is made of.

A recipe part takes the documents of one transform whose original has one of the part's scores, that
come from its sources, and that match no pattern of its blocklist. Selection uses classifier scores
only; the true levels are counted beside it if they are known.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from rebar.config.corpus import Poison, RecipePart
from rebar.data.documents import HAZARD_LEVEL, ORIGINAL, SCHEMA, Document
from rebar.data.sampling import fraction_of
from rebar.data.tagging import insert_tags

if TYPE_CHECKING:
    from rebar.world import World

POISON = "poison"  # source and transform of documents that an attacker inserted
MIXED_SCHEMA = SCHEMA.append(pa.field("start", pa.float64())).append(pa.field("repeat", pa.int32()))


class Selection(NamedTuple):
    """A document of a recipe, and the index of the recipe part that selected it."""

    document: Document
    part: int


def select(
    documents: Iterable[Document], parts: Sequence[RecipePart], seed: int
) -> Iterator[Selection]:
    """Yield the documents of one shard that a recipe selects, once per part that selects them.

    `documents` must hold each original before its rewrites. Whether a part keeps a document depends
    on the seed and the document's id only, so recipes of one seed stay comparable.
    """
    original_score: dict[str, int] = {}
    for document in documents:
        # A rewrite is selected by the score of its original; its own score is the gate's.
        if document.transform == ORIGINAL:
            score = _known(document.score, document)
        else:
            score = original_score[_known(document.parent_id, document)]
        original_score[document.id] = score
        if document.reject_reason is not None:
            continue
        # A document that several parts select is yielded once for each, as a repeat.
        for index, part in enumerate(parts):
            is_wanted = part.transform == document.transform and score in part.scores
            if is_wanted and _is_allowed(document, part) and _is_kept(document, part, seed):
                yield Selection(_insert_tags(document, part, seed), index)


def _known(value: Any, document: Document) -> Any:
    assert value is not None, document.id
    return value


def _is_allowed(document: Document, part: RecipePart) -> bool:
    if part.sources and document.source not in part.sources:
        return False
    return not any(re.search(pattern, document.text) for pattern in part.blocklist)


def _is_kept(document: Document, part: RecipePart, seed: int) -> bool:
    # A number computed from the id, not drawn in order: recipes keep the same documents.
    return part.keep == 1 or fraction_of(seed, "keep", document.id) < part.keep


def _insert_tags(document: Document, part: RecipePart, seed: int) -> Document:
    if part.tag_rate == 0:
        return document
    # A generator per document: its tags do not depend on the documents before it.
    rng = random.Random(f"{seed}/tags/{document.id}")
    return document._replace(text=insert_tags(document.text, part.tag_rate, rng))


def is_hazard(document_id: str, level_of: Mapping[str, int]) -> bool:
    """Whether the document is an original whose true level is 4 or 5."""
    return level_of.get(document_id, 0) >= HAZARD_LEVEL


def poison_documents(
    world: World, poison: Poison, index: int, clean_words: int, seed: int
) -> Iterator[Document]:
    """Yield the documents of one poison of a recipe.

    `clean_words` is the number of words of all other documents; a poisoning rate refers to it.
    """
    from rebar.world.poison import poison_texts

    rng = random.Random(f"{seed}/{POISON}/{poison.kind}")
    for number, text in enumerate(poison_texts(world, poison, clean_words, rng)):
        name = f"{POISON}-{index}-{number}"
        yield Document(name, text, POISON, transform=POISON, style=poison.kind, generator="world")
