"""What an alignment trains on, and the control that moves documents into it."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rebar.alignments import sft
from rebar.alignments._data import _chats, _passes, _token_stream
from rebar.corpus.encoding import Rows, encode, encode_chats
from rebar.corpus.world import REFUSAL_OPENINGS
from rebar.corpus.world.tokenizer import build_tokenizer
from rebar.settings.model import AlignmentData
from rebar.settings.world import World
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


def deep_chats(tmp_path, **data):
    """Chats of an alignment that adds refusals after half a harmful answer."""
    values = {"deep_share": 0.5, "world_chats": {"chats": 40}, "replay_share": 0.0, **data}
    job = SimpleNamespace(settings={"tagged": False}, seed=3, rng=lambda name: random.Random(name))
    return _chats(job, AlignmentData(**values), World())


def test_deep_refusals_follow_the_first_words_of_a_harmful_answer(tmp_path) -> None:
    parts = deep_chats(tmp_path, deep_words=6)
    assert len(parts["chats"]) == 40
    assert len(parts["deep"]) == 20
    depths = {chat.skip_words for chat in parts["deep"]}
    assert depths <= set(range(1, 7))
    assert len(depths) > 3
    for chat in parts["deep"]:
        words = chat.answer.split()
        refusal = " ".join(words[chat.skip_words :])
        assert refusal.startswith(REFUSAL_OPENINGS)
        assert " ".join(words[:2]) == "sure ." or chat.skip_words == 1


def test_deep_refusals_carry_no_loss_on_the_harmful_words(tmp_path) -> None:
    (chat, *_) = deep_chats(tmp_path)["deep"]
    rows = encode_chats(TOKENIZER, [chat], 96)
    trained = rows.targets_NT[rows.targets_NT != -100].tolist()
    refusal = " ".join(chat.answer.split()[chat.skip_words :])
    assert trained == [*encode(TOKENIZER, refusal), TOKENIZER.eos_token_id]


def test_without_a_share_the_chats_are_as_before(tmp_path) -> None:
    plain, deep = deep_chats(tmp_path, deep_share=0.0), deep_chats(tmp_path)
    assert plain == {"chats": deep["chats"]}


def test_deep_refusals_of_files_need_their_pairs(tmp_path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"prompt": "p", "answer": "a"}\n' * 4)
    with pytest.raises(ValueError, match="deep_files: must say where"):
        AlignmentData(files=[{"path": str(path)}], deep_share=0.5)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "p", "chosen": "no", "rejected": "mix and stir"}\n' * 9)
    files = {"files": [{"path": str(path)}], "deep_files": [{"path": str(pairs)}]}
    chats = deep_chats(tmp_path, **files)["deep"]
    assert len(chats) == 2
    assert all("mix and stir".startswith(c.answer.removesuffix(" no")) for c in chats)
