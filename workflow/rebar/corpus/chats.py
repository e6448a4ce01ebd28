"""One question and its answer, as alignments and attacks train on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rebar.corpus.readers import Record, read_records
from rebar.corpus_settings import FileSource
from rebar.files import find_files
from rebar.model_settings import ChatFile


@dataclass(frozen=True)
class Chat:
    """A training example: loss on the answer only, none on its first `skip_words` words.

    `prompt` None means plain text, learned as in pretraining.
    """

    prompt: str | None
    answer: str
    skip_words: int = 0


def read_chats(file: ChatFile) -> list[Chat]:
    """Chats of a file; ValueError names file, line and column of what is no chat."""
    source = FileSource(
        kind="files", name="chats", paths=[file.path], text=file.answer, label=file.prompt
    )
    records = [record for path in find_files(source.paths) for record in read_records(path, source)]
    if not records:
        raise ValueError(
            f"{file.path} holds no chats; give a file with at least one, or delete path:"
        )
    return [_chat(record, file) for record in records[: file.limit]]


def _chat(record: Record, file: ChatFile) -> Chat:
    prompt, answer = record.get(file.prompt, "prompt"), record.get(file.answer, "answer")
    if prompt is not None:
        _check_text(prompt, f"{record.place}: '{file.prompt}'", "prompt")
    _check_text(answer, f"{record.place}: '{file.answer}'", "answer")
    return Chat(prompt, answer)


def _check_text(value: Any, place: str, key: str) -> None:
    """ValueError without the value, which may be harmful."""
    if not isinstance(value, str):
        kind = "nothing (null)" if value is None else f"a {type(value).__name__}"
        raise ValueError(
            f"{place} holds {kind}, not text; write a text there, or set {key}: to a key of texts"
        )
