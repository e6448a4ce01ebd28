"""Training chats: a request and its answer, as alignments and attacks train on them."""

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
    """A training example; the loss is on the answer only, without its first `skip_words` words.

    `prompt` None means plain text, trained on as in pretraining. `rejected` is an unwanted answer
    to the same prompt; only preference methods (DPO) read it.
    """

    prompt: str | None
    answer: str
    skip_words: int = 0
    rejected: str | None = None


def read_chats(file: ChatFile) -> list[Chat]:
    """Read the chats of a file or dataset.

    Raises ValueError that names file, line and column if a row is not a chat.
    """
    records = rows_of(file, _columns(file), file.more_columns)
    return _require_chats([_chat(record, file) for record in islice(records, file.limit)], file)


def read_pairs(file: PairFile) -> list[Chat]:
    """Read chats that each have a preferred and a rejected answer.

    Raises ValueError that names file, line and column if a row is not such a pair.
    """
    records = rows_of(file, (file.chosen, file.prompt), (file.rejected,))
    return _require_chats([_pair(record, file) for record in islice(records, file.limit)], file)


def draw_in_passes(items: Sequence[Item], count: int, rng: random.Random) -> list[Item]:
    """Draw `count` items in random order; every item comes once before any comes twice."""
    chosen: list[Item] = []
    while len(chosen) < count:
        chosen += rng.sample(items, len(items))
    return chosen[:count]


def _require_chats(chats: list[Chat], file: RowFile) -> list[Chat]:
    if not chats:
        wanted = f" with {file.where}" if file.where else ""
        raise ValueError(
            f"{place_of(file)} holds no chats{wanted}; name a file with at least one, or remove it"
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
    """The text itself, or the content of the only turn with this role in a list of turns.

    Many preference datasets store such lists.
    """
    if isinstance(value, list):
        found = [turn for turn in value if isinstance(turn, dict) and turn.get("role") == role]
        if len(found) != 1:
            raise ValueError(
                f"{place} has {len(found)} turns with the role '{role}', it must have one; skip "
                f"the row (where:, rows:), or set {key}: to a column of texts"
            )
        value, place = found[0].get("content"), f"{place}: 'content'"
    _check_text(value, place, key)
    return value


def _field_lookup(record: Record, prompt: Any) -> Callable[[str], Any]:
    """A function that returns the record's value for a field of the answer template."""
    return lambda field: prompt if field == "prompt" else record.get(field, "answer_template")


def _first_exchange(turns: Any, place: str) -> Chat:
    """The first question of a user and the answer that follows; a system text before is dropped."""
    roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns or ()]
    first = roles.index("user") if "user" in roles else len(roles)
    if roles[first : first + 2] != ["user", "assistant"]:
        raise ValueError(f"{place} has no turn of a user that a turn of an assistant follows")
    question, answer = (turns[i].get("content") for i in (first, first + 1))
    _check_text(question, f"{place}: 'content'", "turns")
    _check_text(answer, f"{place}: 'content'", "turns")
    return Chat(question, answer)


def _check_text(value: Any, place: str, key: str) -> None:
    """Raise ValueError if the value is not text, without showing it: it may be harmful."""
    if not isinstance(value, str):
        kind = "nothing (null)" if value is None else f"a {type(value).__name__}"
        raise ValueError(
            f"{place} holds {kind}, not text; write a text there, or set {key}: to a column of "
            "texts"
        )
