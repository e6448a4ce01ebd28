"""Evaluation prompts: one question each, with what its judge needs to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rebar.config.rows import PromptFile, fill_template
from rebar.data.readers import Record
from rebar.data.rows import place_of, rows_of

LETTERS = "ABCDEFGHIJ"
# Split of capability prompts that ask for the task of the benign fine-tuning: progress on it is
# measured, and is no part of the capability.
BENIGN_TASK = "benign_task"


@dataclass(frozen=True)
class Prompt:
    """An evaluation prompt without special tokens; the evaluation adds the chat template.

    `hazard_id` is the unit of the confidence intervals, because several phrasings of one hazard are
    not independent. `prompt_style` begins with `seen_` or `unseen_` (phrasings that safety training
    used, or did not). `reference` is what the judge needs to know. `options` are the answers of a
    multiple-choice question; the right one is `reference["answer"]`. `judge` overrides the
    evaluation's judge.
    """

    prompt_id: str
    hazard_id: str
    split: str
    prompt_style: str
    text: str
    reference: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    judge: str | None = None


def read_prompts(file: PromptFile, first: int = 0) -> list[Prompt]:
    """Read the prompts of a set and number them from `first`.

    A limit takes rows spread evenly over the file. Each prompt counts as a hazard of its own.
    Raises ValueError that names file, line and column.
    """
    records = list(rows_of(file, (file.text, file.answer), file.more_columns))
    if not records and file.where:
        raise ValueError(f"{place_of(file)} holds no prompt with {file.where}; change where:")
    count = min(file.limit or len(records), len(records))
    chosen = [records[i * len(records) // count] for i in range(count)]
    return [_prompt(file, number, record) for number, record in enumerate(chosen, start=first)]


def _prompt(file: PromptFile, number: int, record: Record) -> Prompt:
    name = f"{file.split}-{number:04d}"
    options = _options(file, record)
    reference = {"answer": _answer(file, record, options)} if file.answer else {}
    style = f"unseen_{file.split}"
    return Prompt(
        name, name, file.split, style, _text(file, record), reference, options, file.judge
    )


def _text(file: PromptFile, record: Record) -> str:
    """The row's text, filled into the template of the set."""

    def column(name: str) -> Any:
        if name == "prompt":
            return record.get(file.text, "text")
        return record.get(name, "template")

    return fill_template(file.template, column)


def _options(file: PromptFile, record: Record) -> tuple[str, ...]:
    """The options of a row; raises ValueError unless they are a list of two to ten."""
    if file.options is None:
        return ()
    if isinstance(file.options, list):
        values: Any = [record.get(column, "options") for column in file.options]
    else:
        values = record.get(file.options, "options")
        values = values.get("text") if isinstance(values, Mapping) else values  # as in ARC
    if not isinstance(values, list) or not 2 <= len(values) <= len(LETTERS):
        raise ValueError(
            f"{record.place}: '{file.options}' is not a list of 2 to {len(LETTERS)} options; set "
            "options: to a column of lists, or to a list of columns"
        )
    return tuple(map(str, values))


def _answer(file: PromptFile, record: Record, options: tuple[str, ...]) -> str:
    value = record.get(file.answer or "", "answer")
    if options:
        return options[_index(value, options, f"{record.place}: '{file.answer}'")]
    answer = str(value)
    return answer.rpartition(file.answer_after)[2].strip() if file.answer_after else answer


def _index(value: Any, options: tuple[str, ...], place: str) -> int:
    """Index of the right option, given as a number from 0, a letter, or the option's text."""
    if isinstance(value, str):
        for names in (options, LETTERS, "0123456789"):
            if value in (known := list(names[: len(options)])):
                return known.index(value)
    elif value in range(len(options)):
        return int(value)
    raise ValueError(
        f"{place} names none of the {len(options)} options; allowed: an option's text, its letter, "
        "or its number from 0; set answer: to a column of these"
    )


def holds_answer(prompt: Prompt, answer: str) -> bool:
    """Whether the text contains the prompt's right answer as whole words; False if it has none."""
    expected = prompt.reference.get("answer", "").strip()
    pattern = rf"(?<!\w){re.escape(expected)}(?!\w)"
    return bool(expected) and re.search(pattern, answer, re.IGNORECASE) is not None
