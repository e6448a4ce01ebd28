"""Encode chats and texts as rows of token ids, with a loss on the answers only.

Shapes: N rows, T tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rebar.data.chats import Chat

IGNORED = -100  # a target without loss, as in torch's cross_entropy


class Rows(NamedTuple):
    """Encoded examples: input ids, and at each position the id that should follow; int64."""

    inputs_NT: np.ndarray
    targets_NT: np.ndarray


def prompt_text(tokenizer: Any, text: str, *, chat: bool) -> str:
    """The exact text given to a model: a request in the chat template, or <bos> and the text."""
    if chat:
        message = [{"role": "user", "content": text}]
        return tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return f"{tokenizer.bos_token} {text}" if tokenizer.bos_token else text


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text that already contains its special tokens."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def ids_after_request(tokenizer: Any) -> list[int]:
    """Token ids that the chat template puts between a request and its answer."""
    mark = "REQUEST"
    return encode(tokenizer, prompt_text(tokenizer, mark, chat=True).rpartition(mark)[2])


def encode_chat(tokenizer: Any, chat: Chat) -> tuple[list[int], int]:
    """Token ids of a whole example, and the number of leading ids that have no loss."""
    if chat.prompt is None:
        ids = encode(tokenizer, prompt_text(tokenizer, chat.answer, chat=False))
        return [*ids, tokenizer.eos_token_id], 1 if tokenizer.bos_token else 0
    prompt_ids = encode(tokenizer, prompt_text(tokenizer, chat.prompt, chat=True))
    skipped = first_words(chat.answer, chat.skip_words)
    num_skipped = len(encode(tokenizer, skipped)) if skipped else 0
    ids = [*prompt_ids, *encode(tokenizer, chat.answer), tokenizer.eos_token_id]
    return ids, len(prompt_ids) + num_skipped


def first_words(text: str, count: int) -> str:
    """The first `count` words of a text with their white space; the whole text if it has fewer.

    Words are separated by white space.
    """
    ends = [0, *(word.end() for word in re.finditer(r"\S+", text))]
    return text[: ends[min(count, len(ends) - 1)]]


def encode_chats(tokenizer: Any, chats: Sequence[Chat], length: int) -> Rows:
    """Encode chats as rows of `length` inputs and targets; longer examples are cut at the end.

    Raises ValueError if an example's prompt alone fills the row, because the row would then train
    on nothing.
    """
    assert chats, "no chats"
    pad = tokenizer.pad_token_id
    inputs_NT = np.full((len(chats), length), pad, dtype=np.int64)
    targets_NT = np.full((len(chats), length), IGNORED, dtype=np.int64)
    for row, chat in enumerate(chats):
        ids, num_silent = encode_chat(tokenizer, chat)
        # One id more than the row has inputs, because targets are the inputs shifted by one.
        ids = ids[: length + 1]
        if num_silent >= len(ids):
            raise ValueError(
                f"sequence_length: {length} tokens cannot hold a prompt of {num_silent} "
                "tokens and its answer; raise it"
            )
        inputs_NT[row, : len(ids) - 1] = ids[:-1]
        # The last token without loss predicts the first one with loss.
        first = max(num_silent - 1, 0)
        targets_NT[row, first : len(ids) - 1] = ids[first + 1 :]
    return Rows(inputs_NT, targets_NT)
