"""Answers labelled by people, read from files: to train a judge on, or to audit one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rebar.config.rows import LabelledFile
from rebar.data.prompts import Prompt
from rebar.data.readers import Record
from rebar.data.rows import place_of, rows_of

NOT = "not_"


class LabelledAnswer(NamedTuple):
    """An answer to a prompt, and the outcome that people assigned to it."""

    prompt: Prompt
    answer: str
    outcome: str


def read_answers(file: LabelledFile) -> list[LabelledAnswer]:
    """Read the labelled rows of a file in their order.

    Rows with a label that the settings do not list are skipped. Raises ValueError if no row is
    left.
    """
    records = rows_of(file, (file.answer, file.label), (file.prompt,))
    found = [_read(file, number, record) for number, record in enumerate(records)]
    kept = [answer for answer in found if answer is not None]
    if not kept:
        raise ValueError(
            f"{place_of(file)}: no row has one of the labels {', '.join(file.labels)} in "
            f"column '{file.label}'; change labels: (write numbers in quotes)"
        )
    return kept


def _read(file: LabelledFile, number: int, record: Record) -> LabelledAnswer | None:
    outcome = file.labels.get(str(record.get(file.label, "label")).strip())
    if outcome is None:
        return None
    name = f"answer-{number:04d}"
    text = str(record.get(file.prompt, "prompt"))
    prompt = Prompt(name, name, "labelled", "unseen_labelled", text)
    return LabelledAnswer(prompt, str(record.get(file.answer, "answer")), outcome)


def match_labels(outcome: str, labels: Sequence[str]) -> str:
    """Express an outcome in the given label set.

    A set has either the three labels complied, other and refused, or two labels, one of them with
    the prefix `not_`.
    """
    for question in ("complied", "refused"):
        if f"{NOT}{question}" in labels:
            return question if outcome == question else f"{NOT}{question}"
    return outcome
