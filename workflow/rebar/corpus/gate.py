"""The gate: which rewrites are good enough to train on, and why the others are not.

SafeLM publishes no such filter; without one, echoes of the original and answers that still tell
how would enter pretraining as if they were safe.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rebar.config.corpus import Rewrite
from rebar.corpus.classifier import Verdict
from rebar.corpus.rewrites import Output, Request
from rebar.data.documents import Document

ECHO_WORDS = 4


def reject_reason(
    request: Request, output: Output, verdict: Verdict, settings: Rewrite
) -> str | None:
    """Why an output is rejected; None: it passes."""
    if output.problem is not None:
        return output.problem
    if not output.text.strip():
        return "empty"
    if overlap(output.text, request.text) > settings.max_overlap:
        return "echo"
    if verdict.score > settings.max_score:
        return f"score {verdict.score}"
    return None


def overlap(text: str, original: str) -> float:
    """Share of the text's 4-grams of words that the original has too; short texts count whole."""
    words, original_words = text.lower().split(), original.lower().split()
    length = min(ECHO_WORDS, len(words))
    grams = _grams(words, length)
    known = set(_grams(original_words, length))
    return sum(gram in known for gram in grams) / len(grams)


def _grams(words: list[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


@dataclass
class Tally:
    """Counts of rewrites: made = accepted + rejected, by transform; planted ones and the caught."""

    outputs: dict[str, Counter[str]] = field(default_factory=dict)
    planted: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, document: Document, planted: str | None) -> None:
        """Count one rewrite."""
        counts = self.outputs.setdefault(document.transform, Counter(made=0, accepted=0))
        reason = document.reject_reason
        counts.update(["made", "accepted" if reason is None else f"rejected: {reason}"])
        if planted is not None:
            caught = self.planted.setdefault(planted, Counter(planted=0, caught=0))
            caught.update(["planted"] if reason is None else ["planted", "caught"])

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """As plain dictionaries for the manifest."""
        return {
            "outputs": {key: dict(value) for key, value in self.outputs.items()},
            "planted": {key: dict(value) for key, value in self.planted.items()},
        }
