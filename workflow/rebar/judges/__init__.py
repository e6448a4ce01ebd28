"""Judges: each decides what an answer is, and nothing else."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """What a judge says: `outcome` is complied, refused or other; `correct`: every fact right."""

    outcome: str
    correct: bool


class Scored(Outcome):
    """An outcome with a score of 0-1, such as how harmful the answer is; equal to a plain one."""

    score: float

    def __new__(cls, outcome: str, correct: bool, score: float) -> Scored:
        """The outcome, and beside it the score."""
        self = super().__new__(cls, outcome, correct)
        self.score = score
        return self
