"""Labelled texts for the safety classifier: from the world, with label noise, or from people.

The world's training labels are noisy, as human labels are; held-out texts keep their true level.
The classifier also learns from labelled rewrites. Without them it could not judge at the gate,
because a refusal names the hazard that it refuses, and words alone do not separate it from harm.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from rebar.config.corpus import Rewrite as RewriteSettings
from rebar.config.corpus import TrainClassifier
from rebar.config.world import World as WorldSettings
from rebar.corpus.sources import labelled_records
from rebar.world import (
    RawDocument,
    UnrewritableError,
    World,
    build_world,
    rewrite,
    sample_documents,
)

HAZARD_MENTION, LEAK = 3, 4  # level of a text that names a hazard; of one with ingredients
# Leaking rewrites are over-represented, as in any data set that is labelled in order to find them.
LABELLED_REWRITES = RewriteSettings.model_validate({"echo_rate": 0.0, "leak_rate": 0.15})


class LabelledText(NamedTuple):
    """A text, its harm level 0-5 and the source it comes from."""

    text: str
    level: int
    source: str


class Labels(NamedTuple):
    """Labelled texts to train on and to test on."""

    train: list[LabelledText]
    heldout: list[LabelledText]


def world_labels(
    settings: TrainClassifier, world_settings: WorldSettings, seed: int, rng: random.Random
) -> Labels:
    """Labelled texts of the seed's world: noisy labels for training, true labels for testing."""
    world = build_world(world_settings, seed)
    num_rewritten = round(settings.rewritten_share * settings.labels)
    train = _raw_labels(world, settings.labels - num_rewritten, rng)
    train += _rewritten_labels(world, num_rewritten, rng)
    heldout = _raw_labels(world, settings.heldout, rng)
    return Labels(add_noise(train, settings.label_noise, rng), heldout)


def _raw_labels(world: World, count: int, rng: random.Random) -> list[LabelledText]:
    return [LabelledText(d.text, d.level, "world") for d in sample_documents(world, count, rng)]


def _rewritten_labels(world: World, count: int, rng: random.Random) -> list[LabelledText]:
    found: list[LabelledText] = []
    while len(found) < count:
        for raw in sample_documents(world, count, rng):
            found += _rewrites_of(raw, rng)
    return rng.sample(found, count)


def _rewrites_of(raw: RawDocument, rng: random.Random) -> Iterator[LabelledText]:
    """Labelled rewrites: none at level 0, a rephrasing at 1-3, a refusal and its moral at 4-5."""
    safe_level = HAZARD_MENTION if raw.hazard_id else 0
    try:
        if 1 <= raw.level <= 3:
            text = rewrite(raw.text, raw.level, "rephrase", rng, LABELLED_REWRITES).text
            yield LabelledText(text, safe_level, "rewritten")
        elif raw.level > 3:
            refusal = rewrite(raw.text, raw.level, "refusal", rng, LABELLED_REWRITES)
            yield LabelledText(refusal.text, LEAK if refusal.planted else safe_level, "rewritten")
            moral = rewrite(refusal.text, raw.level, "moral", rng, LABELLED_REWRITES)
            yield LabelledText(moral.text, safe_level, "rewritten")
    except UnrewritableError:
        return  # the rewriter does not cover this topic; the corpus has no rewrite of it either


def add_noise(
    documents: list[LabelledText], share: float, rng: random.Random
) -> list[LabelledText]:
    """Move the level of exactly this share of the texts by one, staying within 0-5."""
    moved = set(rng.sample(range(len(documents)), round(share * len(documents))))
    return [_move_level(d, rng) if i in moved else d for i, d in enumerate(documents)]


def _move_level(document: LabelledText, rng: random.Random) -> LabelledText:
    neighbours = [level for level in (document.level - 1, document.level + 1) if 0 <= level <= 5]
    return document._replace(level=rng.choice(neighbours))


def human_labels(settings: TrainClassifier, rng: random.Random) -> Labels:
    """Texts labelled by people, each text once, split with equal shares of every level."""
    # Reversed, so that the first occurrence of a text is the last one written and wins.
    first_of_text = {
        text: LabelledText(text, level, source.name)
        for source in reversed(settings.sources)
        for text, level in reversed(list(labelled_records(source)))
    }
    return split_by_level(
        list(first_of_text.values())[::-1], settings.labels, settings.heldout, rng
    )


def split_by_level(
    documents: list[LabelledText], num_train: int, num_heldout: int, rng: random.Random
) -> Labels:
    """Split texts into training and test parts of at most these sizes, level by level.

    If there are fewer texts, both parts shrink in the same ratio. Raises ValueError if a part would
    be empty.
    """
    scale = min(1.0, len(documents) / (num_train + num_heldout))
    by_level: dict[int, list[LabelledText]] = defaultdict(list)
    for document in documents:
        by_level[document.level].append(document)
    labels = Labels([], [])
    for _, group in sorted(by_level.items()):
        rng.shuffle(group)
        share = len(group) / len(documents) * scale
        cut = round(share * num_train)
        labels.train.extend(group[:cut])
        labels.heldout.extend(group[cut : cut + round(share * num_heldout)])
    if not labels.train or not labels.heldout:
        raise ValueError(
            f"train_classifier.sources: {len(documents)} labelled documents are too few to split "
            f"into labels: {num_train} and heldout: {num_heldout}; add files or lower these"
        )
    return labels
