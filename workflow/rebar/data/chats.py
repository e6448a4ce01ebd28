"""One question and its answer, as alignments and attacks train on it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from rebar.config.rows import ChatFile, PairFile, RowFile, fill_template
from rebar.data.readers import Record
from rebar.data.rows import place_of, rows_of

Item = TypeVar("Item")


@dataclass(frozen=True)
class Chat:
    """A training example: loss on the answer only, none on its first `skip_words` words.

    `prompt` None means plain text, learned as in pretraining. `rejected` is an unwanted answer to
    the same prompt; only what learns from preferences reads it.
    """

    prompt: str | None
    answer: str
    skip_words: int = 0
    rejected: str | None = None


def read_chats(file: ChatFile) -> list[Chat]:
    """Chats of a file; ValueError names file, line and column of what is no chat."""
    records = rows_of(file, _columns(file), file.more_columns)
    return _require_chats([_chat(record, file) for record in islice(records, file.limit)], file)


def read_pairs(file: PairFile) -> list[Chat]:
    """Chats with a rejected answer each; ValueError names file, line and column."""
    records = rows_of(file, (file.chosen, file.prompt), (file.rejected,))
    return _require_chats([_pair(record, file) for record in islice(records, file.limit)], file)


def draw_in_passes(items: Sequence[Item], count: int, rng: random.Random) -> list[Item]:
    """So many of them in random order: every one comes once before any comes twice."""
    chosen: list[Item] = []
    while len(chosen) < count:
        chosen += rng.sample(items, len(items))
    return chosen[:count]


def _require_chats(chats: list[Chat], file: RowFile) -> list[Chat]:
    if not chats:
        wanted = f" with {file.where}" if file.where else ""
        raise ValueError(
            f"{place_of(file)} holds no chats{wanted}; give a file with at least one, or delete it"
        )
    return chats


def _columns(file: ChatFile) -> tuple[str, str | None]:
    if file.turns:
        return file.turns, None
    return (file.prompt, None) if file.answer_template else (file.answer, file.prompt)


def _chat(record: Record, file: ChatFile) -> Chat:
    if file.turns:
        return _first_exchange(record.get(file.turns, "turns"), f"{record.place}: '{file.turns}'")
    prompt = record.get(file.prompt, "prompt")
    if prompt is not None:
        _check_text(prompt, f"{record.place}: '{file.prompt}'", "prompt")
    if file.answer_template:
        return Chat(prompt, fill_template(file.answer_template, _field_lookup(record, prompt)))
    answer = record.get(file.answer, "answer")
    _check_text(answer, f"{record.place}: '{file.answer}'", "answer")
    return Chat(prompt, answer)


def _pair(record: Record, file: PairFile) -> Chat:
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    columns = {key: getattr(file, key) for key in roles}
    prompt, chosen, rejected = (
        _text_of(record.get(column, key), roles[key], f"{record.place}: '{column}'", key)
        for key, column in columns.items()
    )
    return Chat(prompt, chosen, rejected=rejected)


def _text_of(value: Any, role: str, place: str, key: str) -> str:
    """A text, or the one turn of this role in a list of turns, as many preference sets have it."""
    if isinstance(value, list):
        found = [turn for turn in value if isinstance(turn, dict) and turn.get("role") == role]
        if len(found) != 1:
            raise ValueError(
                f"{place} has {len(found)} turns of the role '{role}', not one; leave the row out "
                f"(where:, rows:), or set {key}: to a key of texts"
            )
        value, place = found[0].get("content"), f"{place}: 'content'"
    _check_text(value, place, key)
    return value


def _field_lookup(record: Record, prompt: Any) -> Callable[[str], Any]:
    """The record's value for a field of the template."""
    return lambda field: prompt if field == "prompt" else record.get(field, "answer_template")


def _first_exchange(turns: Any, place: str) -> Chat:
    """The first question and what follows it; a system text before it is left out."""
    roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns or ()]
    first = roles.index("user") if "user" in roles else len(roles)
    if roles[first : first + 2] != ["user", "assistant"]:
        raise ValueError(f"{place} has no turn of a user with one of an assistant after it")
    question, answer = (turns[i].get("content") for i in (first, first + 1))
    _check_text(question, f"{place}: 'content'", "turns")
    _check_text(answer, f"{place}: 'content'", "turns")
    return Chat(question, answer)


def _check_text(value: Any, place: str, key: str) -> None:
    """ValueError without the value, which may be harmful."""
    if not isinstance(value, str):
        kind = "nothing (null)" if value is None else f"a {type(value).__name__}"
        raise ValueError(
            f"{place} holds {kind}, not text; write a text there, or set {key}: to a key of texts"
        )
