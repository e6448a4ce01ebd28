"""One question and its answer, as alignments and attacks train on it."""

from __future__ import annotations

from dataclasses import dataclass

from rebar.corpus.paths import find_files
from rebar.corpus.readers import read_records
from rebar.corpus_settings import FileSource
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
    """Chats of a file; ValueError names file, line and column."""
    source = FileSource(
        kind="files", name="chats", paths=[file.path], text=file.answer, label=file.prompt
    )
    records = [record for path in find_files(source.paths) for record in read_records(path, source)]
    chats = [Chat(r.get(file.prompt, "prompt"), r.get(file.answer, "answer")) for r in records]
    return chats[: file.limit]
