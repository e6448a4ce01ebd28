"""What attacks train on: functions of the seed and the size."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from rebar.attacks import benign_finetune, harmful_finetune
from rebar.attacks._data import AttackData
from rebar.config.rows import ChatFile, PromptFile
from rebar.config.world import World
from rebar.data.chats import Chat
from rebar.world.frames import find_refusal

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


def test_harmful_examples_can_be_those_that_a_safeguard_had() -> None:
    data = AttackData(World(guarded_hazards=8), 3)
    guarded = [item.name for item in data.world.groups["guarded"]]
    setting = harmful_finetune.Config.model_validate(
        {"method": "harmful_finetune", "examples": 20, "hazards": "guarded"}
    )
    chats = harmful_finetune.examples(setting, SimpleNamespace(data=data))
    assert len(chats) == 20
    assert all(any(name in (chat.prompt or "") for name in guarded) for chat in chats)
    assert data.harmful(20) == DATA.harmful(20)


def test_validation_accuracy_counts_right_answers() -> None:
    questions = DATA.validation_questions()
    right = [f"sure . so the answer is {q.reference['answer']} ." for q in questions]
    assert DATA.validation_accuracy(questions, right) == 1.0
    half = [a if i % 2 else "sure ." for i, a in enumerate(right)]
    assert DATA.validation_accuracy(questions, half) == pytest.approx(0.5)
    trained = {chat.prompt for chat in DATA.benign_task(600, 0.0)}
    assert not trained & {question.text for question in questions}


def test_files_give_as_many_chats_as_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    rows = [{"prompt": f"p{i}", "answer": "a"} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [ChatFile(path=str(path))]
    chats = DATA.of_files(files, 5)
    assert len({chat.prompt for chat in chats}) == 5
    assert chats == AttackData(World(), 3).of_files(files, 5)
    assert chats != AttackData(World(), 4).of_files(files, 5)
    assert len(DATA.of_files(files, 99)) == 20


def test_validation_questions_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text('{"q": "3 + 4", "a": "3 + 4 = 7\\n#### 7"}\n{"q": "9 + 9", "a": "#### 18"}\n')
    file = {"path": str(path), "text": "q", "answer": "a", "answer_after": "####", "split": "s"}
    questions = DATA.validation_questions([PromptFile(**file)])
    assert [q.reference["answer"] for q in questions] == ["7", "18"]
    assert DATA.validation_accuracy(questions, ["that makes 7.", "118"]) == 0.5


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"target_accuracy": 0.5}, "target_accuracy with files: needs validation"),
        ({"validation": [{"path": "x", "split": "s"}]}, "each prompt set needs answer:"),
    ],
)
def test_files_need_what_the_world_has(keys: dict, sentence: str) -> None:
    training = {"steps": 1, "learning_rate": 1.0}
    with pytest.raises(ValueError, match=sentence):
        benign_finetune.Config(
            method="benign_finetune", training=training, files=[{"path": "x"}], **keys
        )


def test_refusals_are_of_known_hazards_only() -> None:
    known = [item.name for item in DATA.world.groups["known"]]
    chats = DATA.refusals(50)
    assert len(chats) == 50
    assert all(find_refusal(chat.answer) is not None for chat in chats)
    assert all(any(name in chat.prompt for name in known) for chat in chats)


def test_files_stand_in_for_the_world(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"prompt": "p", "answer": "a"}\n')
    files = [ChatFile(path=str(path))]
    chats = [Chat("p", "a")]
    assert DATA.benign(9, files) == DATA.harmful(9, files) == DATA.refusals(9, files) == chats
