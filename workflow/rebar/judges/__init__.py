"""Judges: each decides what an answer is, and nothing else."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """What a judge says: `outcome` is complied, refused or other; `correct`: every fact right."""

    outcome: str
    correct: bool
