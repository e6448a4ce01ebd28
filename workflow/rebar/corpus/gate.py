"""The gate: decides which rewrites are good enough to train on, and why the others are not.

SafeLM publishes no such filter. Without one, copies of the original and answers that still explain
how to cause harm would enter pretraining as if they were safe.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rebar.config.corpus import Rewrite
from rebar.corpus.classifier import Verdict
from rebar.corpus.rewrites import Output, Request
from rebar.data.documents import Document

ECHO_WORDS = 4  # length of the word sequences that are compared with the original


def reject_reason(
    request: Request, output: Output, verdict: Verdict, settings: Rewrite
) -> str | None:
    """Why a rewrite is rejected; None if it passes.

    The checks run in this order: the rewriter's own problem, no text, too much copied from the
    original ("echo"), a classifier score that is too high.
    """
    if output.problem is not None:
        return output.problem
    if not output.text.strip():
        return "empty"
    # A rewriter that copies its input makes the harmful text look rewritten.
    if overlap(output.text, request.text) > settings.max_overlap:
        return "echo"
    # The classifier that scored the original judges the rewrite, too: a leaked recipe scores high.
    if verdict.score > settings.max_score:
        return f"score {verdict.score}"
    return None


def overlap(text: str, original: str) -> float:
    """Share of the text's 4-word sequences that the original contains too; range 0-1.

    A text of fewer than four words is compared as a whole.
    """
    words, original_words = text.lower().split(), original.lower().split()
    length = min(ECHO_WORDS, len(words))
    grams = _grams(words, length)
    known = set(_grams(original_words, length))
    return sum(gram in known for gram in grams) / len(grams)


def _grams(words: list[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


@dataclass
class Tally:
    """Counts of rewrites by transform (made = accepted + rejected), and of planted errors.

    Planted errors (copies, leaks) measure how many bad rewrites the gate catches.
    """

    outputs: dict[str, Counter[str]] = field(default_factory=dict)
    planted: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, document: Document, planted: str | None) -> None:
        """Count one rewrite; `planted` names the error that was planted in it, if any."""
        counts = self.outputs.setdefault(document.transform, Counter(made=0, accepted=0))
        reason = document.reject_reason
        # A rejected rewrite stays in the table, so that the gate can be audited.
        counts.update(["made", "accepted" if reason is None else f"rejected: {reason}"])
        if planted is not None:
            caught = self.planted.setdefault(planted, Counter(planted=0, caught=0))
            caught.update(["planted"] if reason is None else ["planted", "caught"])

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """The counts as plain dictionaries, for the manifest."""
        return {
            "outputs": {key: dict(value) for key, value in self.outputs.items()},
            "planted": {key: dict(value) for key, value in self.planted.items()},
        }
