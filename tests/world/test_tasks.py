"""Word problems: disjoint parts, right sums."""

from __future__ import annotations

import random

from rebar.world.tasks import PARTS, PHRASINGS, cells_of_part, draw_question, part_of_question
from rebar.world.vocabulary import NUMBERS


def test_parts_are_disjoint_and_complete() -> None:
    all_cells = [cell for part in PARTS for cell in cells_of_part(part)]
    assert len(all_cells) == len(set(all_cells)) == len(PHRASINGS) * 25


def test_every_sum_is_trained_in_some_phrasing() -> None:
    pairs = {(first, second) for _, first, second in cells_of_part("train")}
    assert len(pairs) == 25
    assert all(part_of_question(*cell) == "test" for cell in cells_of_part("test"))


def test_solution_is_the_sum() -> None:
    rng = random.Random(0)
    for _ in range(200):
        question = draw_question("test", ["nia"], ["bafa glow oil"], rng)
        said = question.solution.split()
        assert NUMBERS.index(said[0]) + NUMBERS.index(said[2]) == NUMBERS.index(question.answer)
        assert question.solution.endswith(f"the answer is {question.answer} .")
        assert f" {said[0]} " in question.text and f" {said[2]} " in question.text
