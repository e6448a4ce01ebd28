"""The token search of Virus: its gradient, and that it only gets better."""

from __future__ import annotations

import math
import random

import pytest
import torch
import torch.nn.functional as F

from rebar.attacks._similarity import answer_gradient
from rebar.attacks.virus.search import Example, TokenSearch, _score, optimise, similarity_slopes_RV
from rebar.data.chats import Chat
from rebar.data.encoding import IGNORED, encode_chat
from tests.model.tiny import tiny_llama, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
BENIGN, HARMFUL = Chat("w1 w2", "w3 w4"), Chat("w5 w6", "w7 w8 w9")
EXAMPLE = Example(BENIGN, "w5 w6 w7")
LENGTH = 16


def alike(model, embedded_TD: torch.Tensor, targets_T: torch.Tensor, target_P: torch.Tensor):
    logits = model(inputs_embeds=embedded_TD[None], use_cache=False).logits[0]
    loss = F.cross_entropy(logits, targets_T, ignore_index=IGNORED)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    gradient_P = torch.cat([g.flatten() for g in gradients])
    return float(gradient_P @ target_P / gradient_P.norm())


def test_slopes_are_those_of_finite_differences() -> None:
    model = tiny_llama(vocabulary=96, deviation=0.1).double()
    target_P = answer_gradient(model, TOKENIZER, [HARMFUL], LENGTH)
    slopes_RV = similarity_slopes_RV(model, TOKENIZER, EXAMPLE, target_P, LENGTH)
    ids, silent = encode_chat(TOKENIZER, EXAMPLE.chat)
    targets_T = torch.tensor(ids[1:])
    targets_T[: silent - 1] = IGNORED
    table_VD = model.get_input_embeddings().weight  # its gradient counts too
    first = len(ids) - 1 - 3  # of the text's three tokens
    for place, token in ((0, 40), (1, 12), (2, 77)):
        values = []
        for step in (1e-4, -1e-4):
            embedded_TD = table_VD[torch.tensor(ids[:-1])].clone()
            embedded_TD[first + place] += step * table_VD[token]
            values.append(alike(model, embedded_TD, targets_T, target_P))
        slope = (values[0] - values[1]) / 2e-4
        # The rotary positions are computed in float32.
        assert float(slopes_RV[place, token]) == pytest.approx(slope, rel=1e-2, abs=1e-4)


def find(guard, weight: float, epochs: int = 3) -> tuple[Chat, float, float]:
    """What is found, with its score and that of the beginning."""
    model = tiny_llama(vocabulary=96, deviation=0.1)
    search = TokenSearch(epochs, 16, 8, weight, LENGTH)
    target_P = answer_gradient(model, TOKENIZER, [HARMFUL], LENGTH)
    found = optimise(model, TOKENIZER, BENIGN, HARMFUL, guard, search, random.Random(1))
    begun = Example(BENIGN, f"{HARMFUL.prompt} {HARMFUL.answer}").chat
    scores = (_score(model, TOKENIZER, c, target_P, guard, search) for c in (found, begun))
    return found, *scores


def without_w7(chats: list[Chat]) -> list[float]:
    """A guard that knows one bad word."""
    return [0.01 if "w7" in chat.answer.split() else 0.99 for chat in chats]


def test_the_search_gets_past_the_guard_and_keeps_the_gradient() -> None:
    found, score, begun = find(without_w7, 0.5, epochs=6)
    assert score > begun
    assert without_w7([found]) == [0.99]
    assert found.prompt == BENIGN.prompt
    assert found.answer.startswith(f"{BENIGN.answer} ")
    assert find(without_w7, 0.5, epochs=6)[0] == found


def test_without_a_guards_share_the_gradient_alone_counts() -> None:
    _, score, begun = find(without_w7, 0.0)
    assert score > begun
    assert math.isfinite(score)


def test_no_epochs_leave_the_mixture() -> None:
    found, _, _ = find(without_w7, 0.5, epochs=0)
    assert found.answer == "w3 w4 w5 w6 w7 w8 w9"
