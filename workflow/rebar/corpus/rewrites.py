"""Input and output of a rewriter: it gets a text and its score, never the true level."""

from __future__ import annotations

from typing import NamedTuple

REPHRASE, REFUSAL, MORAL = "rephrase", "refusal", "moral"


class Request(NamedTuple):
    """What a rewriter gets: the text, its score 0-5, and the transform to make."""

    text: str
    score: int
    transform: str


class Output(NamedTuple):
    """What a rewriter returns; `problem` says why there is no usable text."""

    text: str
    style: str | None = None
    problem: str | None = None
    planted: str | None = None  # an echo or leak put in on purpose, to measure the gate
