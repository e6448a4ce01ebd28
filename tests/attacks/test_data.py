"""What attacks train on: functions of the seed and the size."""

from __future__ import annotations

import pytest

from rebar.attacks._data import AttackData
from rebar.corpus_settings import World

DATA = AttackData(World(), 3)


def test_the_benign_task_has_its_share_of_instructions() -> None:
    chats = DATA.benign_task(200, 0.15)
    sums = [chat for chat in chats if "the answer is" in chat.answer]
    assert len(chats) == 200
    assert len(sums) == 170
    assert chats == AttackData(World(), 3).benign_task(200, 0.15)
    assert chats != AttackData(World(), 4).benign_task(200, 0.15)


def test_harmful_examples_are_of_known_hazards_only() -> None:
    known = [item.name for item in DATA.world.groups["known"]]
    chats = DATA.harmful(50)
    assert len(chats) == 50
    assert all(any(name in chat.prompt for name in known) for chat in chats)


def test_validation_accuracy_counts_right_answers() -> None:
    questions = DATA.validation_questions()
    right = [f"sure . so the answer is {q.reference['answer']} ." for q in questions]
    assert DATA.validation_accuracy(questions, right) == 1.0
    half = [a if i % 2 else "sure ." for i, a in enumerate(right)]
    assert DATA.validation_accuracy(questions, half) == pytest.approx(0.5)
    trained = {chat.prompt for chat in DATA.benign_task(600, 0.0)}
    assert not trained & {question.text for question in questions}
