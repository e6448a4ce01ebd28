"""One question of an evaluation, with what its judge needs to know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rebar.corpus.readers import Record
from rebar.corpus.rows import place_of, rows_of
from rebar.model_settings import PromptFile


@dataclass(frozen=True)
class Prompt:
    """A prompt without special tokens; the evaluation puts the chat template around it.

    `hazard_id` is the unit of the confidence intervals (phrasings of one thing are not
    independent), `prompt_style` starts with `seen_` or `unseen_`, `reference` is the judge's truth.
    """

    prompt_id: str
    hazard_id: str
    split: str
    prompt_style: str
    text: str
    reference: dict[str, str] = field(default_factory=dict)


def read_prompts(file: PromptFile, first: int = 0) -> list[Prompt]:
    """Prompts of a set, evenly spread over the file if there is a limit, numbered from `first`.

    Each prompt is a hazard of its own. ValueError names file, line and column.
    """
    records = list(rows_of(file, (file.text, file.answer)))
    if not records and file.where:
        raise ValueError(f"{place_of(file)} holds no prompt with {file.where}; change where:")
    count = min(file.limit or len(records), len(records))
    chosen = [records[i * len(records) // count] for i in range(count)]
    return [_prompt(file, number, record) for number, record in enumerate(chosen, start=first)]


def _prompt(file: PromptFile, number: int, record: Record) -> Prompt:
    name = f"{file.split}-{number:04d}"
    reference = {"answer": _answer(file, record)} if file.answer else {}
    text = record.get(file.text, "text")
    return Prompt(name, name, file.split, f"unseen_{file.split}", text, reference)


def _answer(file: PromptFile, record: Record) -> str:
    answer = str(record.get(file.answer or "", "answer"))
    return answer.rpartition(file.answer_after)[2].strip() if file.answer_after else answer


def holds_answer(prompt: Prompt, answer: str) -> bool:
    """True if the prompt's right answer stands in the text as whole words; False if it has none."""
    expected = prompt.reference.get("answer", "").strip()
    pattern = rf"(?<!\w){re.escape(expected)}(?!\w)"
    return bool(expected) and re.search(pattern, answer, re.IGNORECASE) is not None
