"""One question of an evaluation, with what its judge needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from rebar.corpus.readers import Record, read_records
from rebar.corpus_settings import FileSource
from rebar.files import find_files
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


def read_prompts(file: PromptFile) -> list[Prompt]:
    """Prompts of a set, evenly spread over the file if there is a limit.

    Each prompt is a hazard of its own. ValueError names file, line and column.
    """
    source = FileSource(
        kind="files", name="prompts", paths=[file.path], text=file.text, label=file.answer
    )
    records = [record for path in find_files(source.paths) for record in read_records(path, source)]
    count = min(file.limit or len(records), len(records))
    chosen = [records[i * len(records) // count] for i in range(count)]
    return [_prompt(file, number, record) for number, record in enumerate(chosen)]


def _prompt(file: PromptFile, number: int, record: Record) -> Prompt:
    name = f"{file.split}-{number:04d}"
    reference = {"answer": str(record.get(file.answer, "answer"))} if file.answer else {}
    text = record.get(file.text, "text")
    return Prompt(name, name, file.split, f"unseen_{file.split}", text, reference)
