"""The 0-5 safety classifier: logistic regression on text features.

The six levels are classes with balanced weights, because harmful text is rare. A long document is
cut into chunks and gets the score of its worst chunk (Maini et al. 2025, arXiv 2504.16980, appendix
D).

Legend: B texts, C chunks, F features, L levels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rebar.corpus.features import (
    Sparse,
    encoder_features,
    ngram_features,
    sparse_product,
    to_scipy,
)
from rebar.data.documents import HAZARD_LEVEL

WEIGHTS, DESCRIPTION = "classifier.safetensors", "classifier.json"
# sklearn's C, for feature vectors of length one. A smaller value misses harmful text when labels
# are few; a larger one fits the label noise.
INVERSE_PENALTY = 2.0
MAX_ITERATIONS = 1000


class Verdict(NamedTuple):
    """The score 0-5 of a text, and the reason: the probability and chunk that decided."""

    score: int
    reason: str


@dataclass(frozen=True)
class Classifier:
    """A trained classifier: weights of a softmax over the levels that occurred in training.

    `encoder` names the text encoder; None means hashed words and word pairs.
    """

    weights_FL: np.ndarray
    bias_L: np.ndarray
    levels: tuple[int, ...]
    chunk_words: int
    encoder: str | None
    encoder_revision: str | None = None

    def classify(self, texts: Sequence[str]) -> list[Verdict]:
        """Score each text; the worst chunk of a long text decides."""
        chunks = [chunk_text(text, self.chunk_words) for text in texts]
        probabilities_CL = self._probabilities([chunk for parts in chunks for chunk in parts])
        verdicts, first = [], 0
        for parts in chunks:
            verdicts.append(self._worst(probabilities_CL[first : first + len(parts)]))
            first += len(parts)
        return verdicts

    def safe_shares(self, texts: Sequence[str]) -> list[float]:
        """Probability that the level is below 4, for each text's worst chunk."""
        # Columns are the levels that occurred in training, which need not be all six.
        is_safe_L = np.array(self.levels) < HAZARD_LEVEL
        chunks = [chunk_text(text, self.chunk_words) for text in texts]
        return [float(self._probabilities(c)[:, is_safe_L].sum(axis=1).min()) for c in chunks]

    def _worst(self, probabilities_CL: np.ndarray) -> Verdict:
        """The highest level among the chunks; the surest chunk at that level gives the reason."""
        tops_C = probabilities_CL.argmax(axis=1)
        level = tops_C.max()
        # Chunks of lower levels get -1, below every probability.
        candidates_C = np.where(tops_C == level, probabilities_CL[:, level], -1.0)
        chunk = int(candidates_C.argmax())
        reason = f"p={candidates_C[chunk]:.2f}"
        if len(tops_C) > 1:
            reason += f", chunk {chunk + 1} of {len(tops_C)}"
        return Verdict(self.levels[level], reason)

    def _probabilities(self, chunks: list[str]) -> np.ndarray:
        features = featurize(chunks, self.encoder, self.encoder_revision)
        if isinstance(features, Sparse):
            logits_CL = sparse_product(features, self.weights_FL)
        else:
            logits_CL = features @ self.weights_FL
        logits_CL += self.bias_L
        # Subtracting the row's maximum keeps the exponentials from overflowing.
        exponents_CL = np.exp(logits_CL - logits_CL.max(axis=1, keepdims=True))
        return exponents_CL / exponents_CL.sum(axis=1, keepdims=True)


def chunk_text(text: str, chunk_words: int) -> list[str]:
    """Cut a text into chunks of at most `chunk_words` words; a shorter text stays as it is."""
    words = text.split()
    if len(words) <= chunk_words:
        return [text]
    starts = range(0, len(words), chunk_words)
    return [" ".join(words[start : start + chunk_words]) for start in starts]


def featurize(
    texts: list[str], encoder: str | None, revision: str | None = None
) -> Sparse | np.ndarray:
    """Feature vectors of texts: from the named encoder, or hashed words and word pairs."""
    if encoder is None:
        return ngram_features(texts)
    return encoder_features(texts, encoder, revision)


def train_classifier(
    texts: Sequence[str],
    levels: Sequence[int],
    *,
    encoder: str | None,
    chunk_words: int,
    encoder_revision: str | None = None,
) -> Classifier:
    """Fit the classifier on labelled texts.

    All chunks of a long text carry the text's label. Raises ValueError if all labels are equal.
    """
    from sklearn.linear_model import LogisticRegression

    # Training sees chunks of the length that scoring will see.
    chunks = [chunk_text(text, chunk_words) for text in texts]
    labels_C = np.repeat(np.array(levels), [len(parts) for parts in chunks])
    if len(set(levels)) < 2:
        raise ValueError(
            f"train_classifier: all {len(levels)} labels are {levels[0]}; a classifier needs "
            "documents of at least two levels"
        )
    features = featurize([chunk for parts in chunks for chunk in parts], encoder, encoder_revision)
    model = LogisticRegression(
        C=INVERSE_PENALTY, class_weight="balanced", max_iter=MAX_ITERATIONS, random_state=0
    )
    model.fit(_for_sklearn(features), labels_C)
    weights_LF, bias_L = model.coef_, np.asarray(model.intercept_)
    # For two classes sklearn keeps one row of weights; the other class has logit zero.
    if len(model.classes_) == 2:
        weights_LF = np.concatenate([np.zeros_like(weights_LF), weights_LF])
        bias_L = np.concatenate([[0.0], bias_L])
    return Classifier(
        weights_FL=np.ascontiguousarray(weights_LF.T, dtype=np.float32),
        bias_L=bias_L.astype(np.float32),
        levels=tuple(int(level) for level in model.classes_),
        chunk_words=chunk_words,
        encoder=encoder,
        encoder_revision=encoder_revision,
    )


def _for_sklearn(features: Sparse | np.ndarray) -> Any:
    return to_scipy(features) if isinstance(features, Sparse) else features


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write classifier.safetensors and classifier.json into the folder."""
    from safetensors.numpy import save_file

    tensors = {"weights_FL": classifier.weights_FL, "bias_L": classifier.bias_L}
    save_file(tensors, folder / WEIGHTS)
    description = {
        "levels": classifier.levels,
        "chunk_words": classifier.chunk_words,
        "encoder": classifier.encoder,
        "encoder_revision": classifier.encoder_revision,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def load_classifier(folder: Path) -> Classifier:
    """Load a classifier that `save_classifier` wrote; it gives the same scores."""
    from safetensors.numpy import load_file

    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    description["levels"] = tuple(description["levels"])
    return Classifier(**load_file(folder / WEIGHTS), **description)
