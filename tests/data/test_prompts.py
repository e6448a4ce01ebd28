"""Prompt sets: templates, options in the forms of known benchmarks, right answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rebar.config.rows import PromptFile
from rebar.data.prompts import Prompt, read_prompts


def read(folder: Path, row: dict[str, Any], **keys: Any) -> Prompt:
    (folder / "set.jsonl").write_text(json.dumps(row) + "\n")
    return read_prompts(PromptFile(path=str(folder / "set.jsonl"), split="x", **keys))[0]


@pytest.mark.parametrize(
    ("answer", "right"),
    [(2, "1"), ("2", "2"), ("C", "1"), ("3", "3"), ("0", "7"), (3, "3")],
)
def test_a_number_is_a_place_and_a_text_first_of_all_the_option(
    tmp_path: Path, answer: Any, right: str
) -> None:
    row = {"prompt": "which ?", "o": ["7", "2", "1", "3"], "a": answer}
    prompt = read(tmp_path, row, options="o", answer="a")
    assert prompt.options == ("7", "2", "1", "3") and prompt.reference == {"answer": right}


def test_options_of_arc_and_of_columns(tmp_path: Path) -> None:
    choices = {"text": ["a dog", "a cat"], "label": ["A", "B"]}
    arc = read(
        tmp_path, {"prompt": "q", "choices": choices, "key": "B"}, options="choices", answer="key"
    )
    assert arc.reference == {"answer": "a cat"}
    row = {"prompt": "q", "sol1": "this", "sol2": "that", "label": 0}
    piqa = read(tmp_path, row, options=["sol1", "sol2"], answer="label")
    assert piqa.options == ("this", "that") and piqa.reference == {"answer": "this"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"o": ["one"], "a": 0}, r"line 1: 'o' is not a list of 2 to 10 options; set options:"),
        ({"o": "one, two", "a": 0}, "'o' is not a list"),
        ({"o": ["one", "two"], "a": 2}, "'a' names none of the 2 options"),
        ({"o": ["one", "two"], "a": "C"}, "'a' names none of the 2 options"),
        ({"o": ["one", "two"], "a": None}, "'a' names none of the 2 options"),
        ({"o": ["one", "two"]}, "no column 'a'"),
    ],
)
def test_what_is_no_choice_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, {"prompt": "q", **row}, options="o", answer="a")


def test_a_template_takes_other_columns_of_a_parquet_file(tmp_path: Path) -> None:
    table = {
        "ask": ["why {x} ?"],
        "scene": ["night"],
        "idle": ["no"],
        "o": [["yes", "no"]],
        "a": [1],
    }
    pq.write_table(pa.table(table), tmp_path / "set.parquet")
    file = PromptFile(
        path=str(tmp_path / "set.parquet"),
        split="x",
        text="ask",
        template="At {scene}: {prompt}",
        options="o",
        answer="a",
        judge="mine",
    )
    prompt = read_prompts(file)[0]
    assert prompt.text == "At night: why {x} ?"
    assert (prompt.options, prompt.reference, prompt.judge) == (
        ("yes", "no"),
        {"answer": "no"},
        "mine",
    )
