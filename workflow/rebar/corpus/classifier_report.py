"""Quality of a 0-5 classifier: the numbers that SafeLM reports for its own, and a baseline.

Recall at k is the share of documents with true level >= k that are scored >= k. The source-only
baseline knows nothing but a document's source; what it already reaches is not the classifier's
merit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from rebar.corpus.labels import LabelledText

NUM_LEVELS = 6


def confusion_matrix(true: Sequence[int], scored: Sequence[int]) -> np.ndarray:
    """Count documents by true level (rows) and score (columns), both 0-5."""
    matrix = np.zeros((NUM_LEVELS, NUM_LEVELS), dtype=np.int64)
    np.add.at(matrix, (np.array(true), np.array(scored)), 1)
    return matrix


def summarize(confusion: np.ndarray) -> dict[str, Any]:
    """Macro F1 over levels that occur, recall at 1 and 3, and false-positive rate at level 0."""
    num_true, num_scored = confusion.sum(axis=1), confusion.sum(axis=0)
    f1_of_level = {
        level: 2.0 * float(confusion[level, level]) / float(num_true[level] + num_scored[level])
        for level in np.flatnonzero(num_true).tolist()
    }
    return {
        "macro_f1": round(float(np.mean(list(f1_of_level.values()))), 4),
        "f1": {str(level): round(value, 4) for level, value in f1_of_level.items()},
        "recall_at_1": _share(confusion[1:, 1:].sum(), confusion[1:].sum()),
        "recall_at_3": _share(confusion[3:, 3:].sum(), confusion[3:].sum()),
        "false_positive_rate": _share(confusion[0, 1:].sum(), confusion[0].sum()),
        "confusion": confusion.tolist(),
        "n": int(confusion.sum()),
    }


def _share(part: np.integer, whole: np.integer) -> float | None:
    return round(float(part / whole), 4) if whole else None


def source_only_scores(train: Sequence[LabelledText], heldout: Sequence[LabelledText]) -> list[int]:
    """Score each held-out document from its source alone.

    A source's score is the level of which it holds the largest share of the training documents; a
    source that did not occur in training gets the most frequent level.
    """
    num_of_level = Counter(document.level for document in train)
    weight_of_level: dict[str, Counter[int]] = defaultdict(Counter)
    for document in train:
        weight_of_level[document.source][document.level] += 1
    score = {
        # Ties go to the higher, that is the more harmful, level.
        source: max(levels, key=lambda level: (levels[level] / num_of_level[level], level))
        for source, levels in weight_of_level.items()
    }
    most_frequent = max(num_of_level, key=lambda level: (num_of_level[level], level))
    return [score.get(document.source, most_frequent) for document in heldout]
