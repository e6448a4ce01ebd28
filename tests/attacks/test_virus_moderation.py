"""A causal LM as a guard: the probability of its verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rebar.attacks.virus.moderation import causal_lm_moderator
from rebar.data.chats import Chat
from tests.model.tiny import tiny_llama, tiny_tokenizer


def test_safe_is_the_probability_of_the_verdict(tmp_path: Path) -> None:
    model, tokenizer = tiny_llama(vocabulary=96), tiny_tokenizer()
    turns = "{% for m in messages %} {{ m['content'] }}{% endfor %} <end>"
    tokenizer.chat_template = "{{ bos_token }}" + turns
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ids = tokenizer("<bos> w1 w2 w3 <end> w4 w5")["input_ids"]
    chances_TV = model(torch.tensor([ids])).logits[0].softmax(dim=-1).detach()
    expected = float(chances_TV[-3, ids[-2]] * chances_TV[-2, ids[-1]])
    guard = causal_lm_moderator(str(tmp_path), None, "w4 w5")
    assert guard([Chat("w1 w2", "w3")]) == [pytest.approx(expected, rel=1e-4)]
