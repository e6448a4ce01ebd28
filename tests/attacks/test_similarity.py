"""Similarity of examples to a model, against what the definitions say."""

from __future__ import annotations

import pytest
import torch

from rebar.attacks._similarity import (
    answer_gradient,
    gradient_similarity_N,
    last_states,
    representation_similarity_N,
)
from rebar.data.chats import Chat
from rebar.data.encoding import encode_chats
from rebar.model.forward import language_loss
from tests.model.tiny import tiny_llama, tiny_tokenizer

CHATS = [Chat("w1 w2", "w3 w4"), Chat("w5", "w6 w7 w8"), Chat("w1 w2", "w9")]


def loss_of(model: torch.nn.Module, chat: Chat) -> torch.Tensor:
    parts = encode_chats(tiny_tokenizer(), [chat], 12)
    return language_loss(model, *map(torch.from_numpy, parts))


def test_a_gradient_is_the_mean_of_the_chats() -> None:
    model = tiny_llama(vocabulary=96, deviation=0.1)
    (sum(loss_of(model, chat) for chat in CHATS) / 3).backward()
    expected_P = torch.cat([p.grad.flatten() for p in model.parameters()])
    gradient_P = answer_gradient(model, tiny_tokenizer(), CHATS, 12)
    assert (gradient_P - expected_P).abs().max() < 1e-6


def test_cosines_of_an_example_with_itself_are_one() -> None:
    model, tokenizer = tiny_llama(vocabulary=96), tiny_tokenizer()
    alike_N = representation_similarity_N(model, tokenizer, CHATS, CHATS[1:2], 12)
    assert alike_N[1] == pytest.approx(1.0, abs=1e-6)
    assert max(alike_N) == alike_N[1]
    refusals = CHATS[2:]
    cosines_N = gradient_similarity_N(model, tokenizer, CHATS, CHATS[:1], refusals, 12)
    assert cosines_N[0] == pytest.approx(-cosines_N[2], abs=1e-6)
    assert cosines_N[0] > cosines_N[1] > cosines_N[2]


def test_states_are_of_the_answers_last_word() -> None:
    model, tokenizer = tiny_llama(vocabulary=96), tiny_tokenizer()
    ids = tokenizer("<bos> w1 w2 w3 w4")["input_ids"]
    hidden_D = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]
    state_D = last_states(model, tokenizer, CHATS[:1], 12)[0]
    assert (state_D - hidden_D / hidden_D.norm()).abs().max() < 1e-6
