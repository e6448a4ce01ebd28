"""The data safety report card (Maini et al. 2025, sec. 3.5), and how safe the pipeline is.

Scores and rates of harmful phrases before and after rewriting; what the classifier missed, against
the truth where there is one; what the gate rejected. The phrases themselves are never shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.data.documents import (
    DOCUMENTS,
    HAZARD_LEVEL,
    TRUTH,
    count_documents,
    read_levels,
    read_rows,
)
from rebar.data.tagging import TAG
from rebar.jobs.manifest import read_manifest

LEVELS = range(6)
SAMPLE = 20_000  # documents of one corpus that are read for phrase rates
NUM_PHRASES = 50
PHRASE_WORDS = (2, 3)
PASSES = 4  # scores below it are not turned into refusals: a harmful document scored so leaks
COLLECTED = "collected"


class Corpus(NamedTuple):
    """Documents by score, and harmful phrases per million words, of one corpus and seed."""

    name: str
    histogram: list[float]
    phrases_per_million: float


class Leaks(NamedTuple):
    """Documents of a true level 4-5, by the classifier's score (row: level, column: score)."""

    by_level: dict[int, list[int]]

    @property
    def num_harmful(self) -> int:
        """All documents of level 4-5."""
        return sum(map(sum, self.by_level.values()))

    @property
    def num_leaked(self) -> int:
        """Those scored 0-3."""
        return sum(sum(scores[:PASSES]) for scores in self.by_level.values())


class Card(NamedTuple):
    """One seed's card; None where there is no truth or no such stage."""

    seed: int
    corpora: list[Corpus]
    classifier: dict[str, Any]
    leaks: Leaks | None
    outputs: dict[str, dict[str, int]]  # transform -> made, accepted, rejected by reason
    planted: dict[str, dict[str, int]]  # echo or leak -> planted, caught

    @property
    def num_planted(self) -> int:
        """Bad rewrites that were put in on purpose."""
        return sum(counts["planted"] for counts in self.planted.values())

    @property
    def num_caught(self) -> int:
        """Those that the gate rejected."""
        return sum(counts["caught"] for counts in self.planted.values())


def read_card(root: Path, config: Config, seed: int) -> Card:
    """All of one seed."""

    def folders(stage: str) -> list[Path]:
        found = [root / grid.folder(stage, seed=seed, shard=i) for i in grid.shards(config)]
        for folder in found:
            read_manifest(folder)
        return found

    levels: dict[str, int] = {}
    for collected in folders("collect"):
        levels |= read_levels(collected / TRUTH)
    scored = [folder / DOCUMENTS for folder in folders("score")]
    rewritten = folders("rewrite")
    phrases = harmful_phrases(scored, levels)
    corpora = [_corpus(COLLECTED, scored, phrases)]
    for recipe in grid.training_recipes(config):
        mixed = root / grid.folder("mix", seed=seed, recipe=recipe) / DOCUMENTS
        corpora.append(_corpus(recipe, [mixed], phrases))
    report = root / grid.folder("train_classifier", seed=seed) / "report.json"
    return Card(
        seed,
        corpora,
        json.loads(report.read_text(encoding="utf-8")),
        count_leaks(scored, levels) if levels else None,
        _gate_counts(rewritten, "outputs"),
        _gate_counts(rewritten, "planted"),
    )


def harmful_phrases(scored: list[Path], levels: dict[str, int]) -> frozenset[tuple[str, ...]]:
    """The pairs and triples of words most frequent at level 5 that never occur below level 4.

    So a phrase tells how, and is not the mere name of a hazard, which a refusal has to say. The
    level is the truth, or the classifier's score where there is none.
    """
    harmful: Counter[tuple[str, ...]] = Counter()
    harmless: set[tuple[str, ...]] = set()
    for document_id, score, text in _sampled(scored, ["id", "score", "text"]):
        level = levels.get(document_id, score)
        if level == max(LEVELS):
            harmful.update(phrases_of(text))
        elif level is not None and level < HAZARD_LEVEL:
            harmless.update(phrases_of(text))
    candidates = [(-n, phrase) for phrase, n in harmful.items() if phrase not in harmless]
    return frozenset(phrase for _, phrase in sorted(candidates)[:NUM_PHRASES])


def phrases_of(text: str) -> Iterator[tuple[str, ...]]:
    """Pairs and triples of neighbouring words in lower case, harmfulness tags taken out.

    A word has a letter or digit.
    """
    words = text.replace(TAG, " ").lower().split()
    words = [word for word in words if any(c.isalnum() for c in word)]
    for size in PHRASE_WORDS:
        yield from zip(*(words[offset:] for offset in range(size)), strict=False)


def _sampled(paths: list[Path], columns: list[str]) -> Iterator[tuple]:
    """At most SAMPLE rows of all files, evenly spaced."""
    step = max(1, -(-sum(map(count_documents, paths)) // SAMPLE))
    index = 0
    for path in paths:
        for batch in read_rows(path, columns):
            for row in batch:
                if index % step == 0:
                    yield row
                index += 1


def _corpus(name: str, paths: list[Path], phrases: frozenset[tuple[str, ...]]) -> Corpus:
    scores: Counter[int] = Counter()
    for path in paths:
        for batch in read_rows(path, ["score"]):
            scores.update(score for (score,) in batch)
    hits = words = 0
    for (text,) in _sampled(paths, ["text"]):
        words += len(text.split())
        hits += sum(phrase in phrases for phrase in phrases_of(text))
    return Corpus(name, [scores[level] for level in LEVELS], 1e6 * hits / max(words, 1))


def count_leaks(scored: list[Path], levels: dict[str, int]) -> Leaks:
    """Scores of all documents whose true level is 4 or 5."""
    counts = {level: [0] * len(LEVELS) for level in LEVELS if level >= HAZARD_LEVEL}
    for path in scored:
        for batch in read_rows(path, ["id", "score"]):
            for document_id, score in batch:
                level = levels.get(document_id)
                if level in counts:
                    counts[level][score] += 1
    return Leaks(counts)


def _gate_counts(rewritten: list[Path], name: str) -> dict[str, dict[str, int]]:
    """One section of the rewriting manifests' counts, added up over shards."""
    total: dict[str, Counter[str]] = {}
    for folder in rewritten:
        for key, counts in read_manifest(folder)["counts"][name].items():
            total.setdefault(key, Counter()).update(counts)
    return {key: dict(counts) for key, counts in sorted(total.items())}
