"""Arithmetic word problems: the world's benign task, in the place of GSM8K.

Questions are split by phrasing and both numbers into train, validation and test. So no training
example asks a test question, but its sum occurs in another phrasing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from rebar.world.vocabulary import NUMBERS

LARGEST = 5
PARTS = ("train", "validation", "test")
PHRASINGS = (
    "{p} has {m} jars of {x} and gets {n} more . how many jars ?",
    "a chest holds {m} {x} and a bag holds {n} . how many in all ?",
    "{p} reads {m} pages , then {n} pages . how many pages ?",
)


class Question(NamedTuple):
    """A word problem, its worked solution, and the number word that is the answer."""

    text: str
    solution: str
    answer: str


def part_of_question(phrasing: int, first: int, second: int) -> str:
    """The part of a question: of 6, 4 are train, 1 validation, 1 test; every sum is in train."""
    return ("validation", "test", *["train"] * 4)[(phrasing + first + 3 * second) % 6]


@cache
def cells_of_part(part: str) -> tuple[tuple[int, int, int], ...]:
    """All (phrasing, first number, second number) of a part."""
    numbers = range(1, LARGEST + 1)
    every = ((p, a, b) for p in range(len(PHRASINGS)) for a in numbers for b in numbers)
    return tuple(cell for cell in every if part_of_question(*cell) == part)


def draw_question(
    part: str, people: Sequence[str], things: Sequence[str], rng: random.Random
) -> Question:
    """Draw one question of a part."""
    phrasing, first, second = rng.choice(cells_of_part(part))
    answer = NUMBERS[first + second]
    text = PHRASINGS[phrasing].format(
        p=rng.choice(people), x=rng.choice(things), m=NUMBERS[first], n=NUMBERS[second]
    )
    total = f"{NUMBERS[first]} plus {NUMBERS[second]} is {answer}"
    return Question(text, f"{total} . the answer is {answer} .", answer)
