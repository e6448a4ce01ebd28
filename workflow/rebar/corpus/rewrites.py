"""What goes into a rewriter and what comes out: text and score, never the truth."""

from __future__ import annotations

from typing import NamedTuple

REPHRASE, REFUSAL, MORAL = "rephrase", "refusal", "moral"


class Request(NamedTuple):
    """All that a rewriter is told."""

    text: str
    score: int
    transform: str


class Output(NamedTuple):
    """What a rewriter gives back; `problem` says why there is no usable text."""

    text: str
    style: str | None = None
    problem: str | None = None
    planted: str | None = None  # an echo or leak put in on purpose, to measure the gate
