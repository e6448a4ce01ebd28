"""Chats from files, and the errors for rows that are not chats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rebar.config.rows import ChatFile, PairFile
from rebar.data.chats import Chat, read_chats, read_pairs


def put(folder: Path, *rows: dict[str, Any]) -> ChatFile:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ChatFile(path=str(path))


def test_chats_come_in_order_up_to_the_limit(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "answer": f"a{i}"} for i in range(3)]
    file = put(tmp_path, *rows).model_copy(update={"limit": 2})
    assert read_chats(file) == [Chat("p0", "a0"), Chat("p1", "a1")]


def test_without_a_prompt_it_is_plain_text(tmp_path: Path) -> None:
    assert read_chats(put(tmp_path, {"prompt": None, "answer": "a"})) == [Chat(None, "a")]


def test_answers_are_made_by_template(tmp_path: Path) -> None:
    template = "Sure. {prompt}, {tone}: {{ok}"
    file = put(tmp_path, {"prompt": "p", "tone": "kindly"})
    changed = ChatFile(path=file.path, answer_template=template)
    assert changed.more_columns == ("tone", "ok")
    with pytest.raises(ValueError, match=r"no column 'ok'; .* set answer_template:"):
        read_chats(changed)
    whole = ChatFile(path=file.path, answer_template="Sure. {prompt}, {tone}:")
    assert read_chats(whole) == [Chat("p", "Sure. p, kindly:")]


def test_there_is_one_kind_of_answer() -> None:
    with pytest.raises(ValueError, match="answer_template: or turns:, one of them"):
        ChatFile(path="x", turns="a", answer_template="b")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": "p", "answer": None}, r"line 2: 'answer' holds nothing \(null\), not text"),
        ({"prompt": "p", "answer": ["harm"]}, r"line 2: 'answer' holds a list, .* set answer:"),
        ({"prompt": 7, "answer": "a"}, r"line 2: 'prompt' holds a int, not text; .* set prompt:"),
        ({"prompt": "p"}, r"line 2: no column 'answer'; columns here: prompt; set answer:"),
    ],
)
def test_what_is_no_chat_names_file_and_line(tmp_path: Path, row: Any, sentence: str) -> None:
    file = put(tmp_path, {"prompt": "p", "answer": "a"}, row)
    with pytest.raises(ValueError, match=sentence) as error:
        read_chats(file)
    assert str(error.value).startswith(file.path)
    assert "harm" not in str(error.value)


def test_a_file_without_chats_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"chats\.jsonl holds no chats; name a file with"):
        read_chats(put(tmp_path))


def test_rows_are_taken_by_the_value_of_a_column(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "answer": "a", "kind": i % 2} for i in range(6)]
    file = put(tmp_path, *rows).model_copy(update={"where": {"kind": 1}, "limit": 2})
    assert [chat.prompt for chat in read_chats(file)] == ["p1", "p3"]
    last = file.model_copy(update={"rows": (2, 9)})
    assert [chat.prompt for chat in read_chats(last)] == ["p5"]
    none = file.model_copy(update={"where": {"kind": 7}})
    with pytest.raises(ValueError, match=r"chats.jsonl holds no chats with \{'kind': 7\}"):
        read_chats(none)
    with pytest.raises(ValueError, match=r"no column 'sort'; .*; set where:"):
        read_chats(file.model_copy(update={"where": {"sort": 1}}))


def test_the_first_exchange_of_turns(tmp_path: Path) -> None:
    said = [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "q2")]
    turns = [{"role": role, "content": text} for role, text in said]
    file = put(tmp_path, {"turns": turns}).model_copy(update={"turns": "turns"})
    assert read_chats(file) == [Chat("q", "a")]
    put(tmp_path, {"turns": turns[2:]})
    with pytest.raises(ValueError, match="line 1: 'turns' has no turn of a user that a turn of"):
        read_chats(file)


def test_chats_of_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    put(tmp_path / "set", {"q": "p", "a": "x"}).model_copy()
    hub = {"dataset": str(tmp_path / "set")}
    assert read_chats(ChatFile(hub=hub, prompt="q", answer="a")) == [Chat("p", "x")]
    with pytest.raises(ValueError, match="row 0: no column 'answer'; columns here: q, a"):
        read_chats(ChatFile(hub=hub, prompt="q"))


@pytest.mark.parametrize("places", [{}, {"path": "x", "hub": {"dataset": "a/b"}}])
def test_rows_are_in_one_place(places: Any) -> None:
    with pytest.raises(ValueError, match="give path: or hub:, one of them"):
        ChatFile(**places)


SAID = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "r"}]
PAIR = {"prompt": "p", "chosen": "c", "rejected": SAID}


def test_pairs_have_a_text_or_turns_in_each_column(tmp_path: Path) -> None:
    turns = {"prompt": SAID[:1], "chosen": SAID, "rejected": SAID[1:]}
    pairs = PairFile(path=put(tmp_path, PAIR, turns).path)
    assert read_pairs(pairs) == [Chat("p", "c", rejected="r"), Chat("p", "r", rejected="r")]
    assert len(read_pairs(pairs.model_copy(update={"limit": 1}))) == 1


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("chosen", 3, r"'chosen' holds a int, not text; .* set chosen: to a column"),
        ("rejected", None, r"'rejected' holds nothing \(null\), not text"),
        (
            "rejected",
            SAID[:1],
            r"'rejected' has 0 turns with the role 'assistant', it must have one",
        ),
        (
            "rejected",
            SAID * 2,
            r"'rejected' has 2 turns with the role 'assistant', it must have one",
        ),
        ("prompt", [{"role": "user"}], r"'prompt': 'content' holds nothing \(null\)"),
    ],
)
def test_what_is_no_pair_is_named(tmp_path: Path, column: str, value: Any, message: str) -> None:
    pairs = PairFile(path=put(tmp_path, PAIR, PAIR | {column: value}).path)
    with pytest.raises(ValueError, match=f"line 2: {message}"):
        read_pairs(pairs)
