"""What an alignment trains on, and the control that moves documents into it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from rebar.alignments import sft
from rebar.alignments._data import _passes, _token_stream
from rebar.corpus.encoding import Rows
from rebar.corpus.world.tokenizer import build_tokenizer
from tests.model.tiny import rows, tiny_llama

TOKENIZER = build_tokenizer()


def test_passes_use_every_row_before_any_comes_again() -> None:
    small = Rows(np.arange(10).reshape(5, 2), -np.arange(10).reshape(5, 2))
    repeated = _passes(small, 13, random.Random(0))
    assert repeated.inputs_NT.shape == (13, 2)
    assert (repeated.inputs_NT == -repeated.targets_NT).all()
    first = repeated.inputs_NT[:, 0].tolist()
    assert sorted(first[:5]) == sorted(first[5:10]) == [0, 2, 4, 6, 8]
    assert first[:5] != first[5:10]


@pytest.mark.parametrize("passes", [0.25, 1.0, 2.5])
def test_a_stream_is_as_long_as_its_passes(passes: float) -> None:
    texts = [f"{{speaker_a}} : how do i make glow {'glow ' * i}" for i in range(40)]
    ids = _token_stream(texts, passes, TOKENIZER, random.Random(1))
    one_pass = sum(1 + 1 + 1 + 5 + i for i in range(40))  # <bos>, a name, :, the words
    assert len(ids) == pytest.approx(passes * one_pass, rel=0.02)
    words = TOKENIZER.convert_ids_to_tokens(ids)
    assert words.count("<bos>") == pytest.approx(40 * passes, abs=8)
    assert "<unk>" not in words


def test_the_loss_is_the_mean_over_answers() -> None:
    model = tiny_llama()
    inputs, targets = rows()
    logits = model(input_ids=inputs).logits.float()
    chosen = targets != -100
    expected = -logits.log_softmax(-1)[chosen].gather(1, targets[chosen][:, None]).mean()
    config = sft.Config(method="sft", training={"steps": 1, "learning_rate": 1.0})
    found = sft.loss(config, model, (inputs, targets), None)
    assert torch.isclose(found, expected, atol=1e-5)
