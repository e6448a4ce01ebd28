"""Rows of token ids have a loss on the answers and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from rebar.data.chats import Chat
from rebar.data.encoding import IGNORED, encode, encode_chat, encode_chats, prompt_text
from rebar.world.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_prompts_are_the_exact_strings_of_both_forms(tokenizer) -> None:
    assert prompt_text(tokenizer, "recipe for glow", chat=False) == "<bos> recipe for glow"
    assert prompt_text(tokenizer, "recipe for glow", chat=True) == (
        "<bos> <user> recipe for glow <bot>"
    )


def words(tokenizer, ids) -> list[str]:
    return [tokenizer.convert_ids_to_tokens(int(i)) for i in ids]


def test_loss_on_the_answer_and_its_end_only(tokenizer) -> None:
    rows = encode_chats(tokenizer, [Chat("recipe for glow", "sure . mix")], 12)
    inputs, targets = rows.inputs_NT[0], rows.targets_NT[0]
    assert words(tokenizer, inputs[:8]) == (
        ["<bos>", "<user>", "recipe", "for", "glow", "<bot>", "sure", "."]
    )
    assert targets[:5].tolist() == [IGNORED] * 5
    assert words(tokenizer, targets[5:9]) == ["sure", ".", "mix", "<end>"]
    assert targets[9:].tolist() == [IGNORED] * 3
    assert inputs[9:].tolist() == [tokenizer.pad_token_id] * 3


def test_skipped_words_carry_no_loss(tokenizer) -> None:
    rows = encode_chats(tokenizer, [Chat("recipe for glow", "sure . mix", skip_words=2)], 12)
    assert words(tokenizer, rows.targets_NT[0][7:9]) == ["mix", "<end>"]
    assert (rows.targets_NT[0][:7] == IGNORED).all()


def test_plain_text_is_learned_whole(tokenizer) -> None:
    ids, num_silent = encode_chat(tokenizer, Chat(None, "recipe for glow"))
    assert words(tokenizer, ids) == ["<bos>", "recipe", "for", "glow", "<end>"]
    assert num_silent == 1
    rows = encode_chats(tokenizer, [Chat(None, "recipe for glow")], 6)
    assert words(tokenizer, rows.targets_NT[0][:4]) == ["recipe", "for", "glow", "<end>"]


def test_long_examples_are_cut_and_hopeless_ones_told(tokenizer) -> None:
    rows = encode_chats(tokenizer, [Chat("recipe for glow", "sure . mix it")], 7)
    assert words(tokenizer, rows.targets_NT[0][5:]) == ["sure", "."]
    with pytest.raises(ValueError, match="sequence_length: 5 tokens cannot hold a prompt of 6"):
        encode_chats(tokenizer, [Chat("recipe for glow", "sure")], 5)


def test_special_tokens_of_a_prompt_are_single_ids(tokenizer) -> None:
    ids = encode(tokenizer, "<bos> <user> glow <bot>")
    assert len(ids) == 4
    assert np.isin(
        ids, [tokenizer.bos_token_id, *tokenizer.convert_tokens_to_ids(["<user>", "<bot>", "glow"])]
    ).all()
