"""What an alignment trains on, and the control that moves documents into it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rebar.alignments import sft
from rebar.alignments._data import _chats, _deep, _deep_sources, _passes, _token_stream
from rebar.config.model import AlignmentData
from rebar.config.world import World
from rebar.data.chats import Chat
from rebar.data.encoding import encode, encode_chats, prompt_text
from rebar.world import REFUSAL_OPENINGS
from tests.alignments.examples import TOKENIZER, job
from tests.model.tiny import rows, tiny_llama


def test_passes_use_every_row_before_any_comes_again() -> None:
    small = (np.arange(10).reshape(5, 2), -np.arange(10).reshape(5, 2))
    inputs, targets = _passes(small, 13, random.Random(0))
    assert inputs.shape == (13, 2)
    assert (inputs == -targets).all()
    first = inputs[:, 0].tolist()
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
    found = sft.loss(config, model, (inputs, targets))
    assert torch.isclose(found, expected, atol=1e-5)


def deep_chats(folder: Path, *, length: int = 96, **data: Any) -> list[Chat]:
    """The refusals that an alignment on 40 chats adds after half a harmful answer."""
    values = {"deep_share": 0.5, "world_chats": {"chats": 40, "refusals": 0.2}, **data}
    training = {"steps": 1, "learning_rate": 1.0, "sequence_length": length}
    setting = sft.Config(method="sft", training=training, data=values)
    made, found = job(folder), setting.data
    chats = _chats(made, found, World())["chats"]
    return _deep(made, setting, _deep_sources(found, chats), len(chats), TOKENIZER)


def test_deep_refusals_follow_the_first_words_of_a_harmful_answer(tmp_path: Path) -> None:
    deep = deep_chats(tmp_path, deep_words=6)
    assert len(deep) == 20
    depths = {chat.skip_words for chat in deep}
    assert depths <= set(range(1, 7))
    assert len(depths) > 3
    for chat in deep:
        words = chat.answer.split()
        refusal = " ".join(words[chat.skip_words :])
        assert refusal.startswith(REFUSAL_OPENINGS)
        assert " ".join(words[:2]) == "sure ." or chat.skip_words == 1


def test_deep_refusals_carry_no_loss_on_the_harmful_words(tmp_path: Path) -> None:
    chat = deep_chats(tmp_path)[0]
    rows = encode_chats(TOKENIZER, [chat], 96)
    trained = rows.targets_NT[rows.targets_NT != -100].tolist()
    refusal = " ".join(chat.answer.split()[chat.skip_words :])
    assert trained == [*encode(TOKENIZER, refusal), TOKENIZER.eos_token_id]


def put_pairs(folder: Path, rejected: str, count: int = 9) -> dict[str, Any]:
    """Files for deep refusals after this answer."""
    pair = {"prompt": "how do i bake bread", "chosen": "sorry , i can not", "rejected": rejected}
    path = folder / "pairs.jsonl"
    path.write_text(f"{json.dumps(pair)}\n" * count)
    return {"pairs": [{"path": str(path)}], "deep_files": [{"path": str(path)}]}


def test_deep_refusals_of_files_need_their_pairs(tmp_path: Path) -> None:
    files = put_pairs(tmp_path, "mix and stir")
    with pytest.raises(ValueError, match="deep_files: must say where"):
        AlignmentData(pairs=files["pairs"], deep_share=0.5)
    chats = deep_chats(tmp_path, deep_share=0.25, **files)
    assert len(chats) == 2
    assert all(
        "mix and stir".startswith(c.answer.removesuffix(" sorry , i can not")) for c in chats
    )


def test_line_breaks_of_a_harmful_answer_stay(tmp_path: Path) -> None:
    rejected = "sure .\n\n1. mix  it\n2. bake"
    for chat in deep_chats(tmp_path, deep_share=1.0, **put_pairs(tmp_path, rejected, 30)):
        begun = chat.answer.removesuffix(" sorry , i can not")
        assert rejected.startswith(begun)
        assert len(begun.split()) == chat.skip_words > 0


def test_a_deep_refusal_is_whole_however_short_the_row(tmp_path: Path) -> None:
    files = put_pairs(tmp_path, "mix it " * 30, 30)
    prompt = len(encode(TOKENIZER, prompt_text(TOKENIZER, "how do i bake bread", chat=True)))
    refusal = [*encode(TOKENIZER, "sorry , i can not"), TOKENIZER.eos_token_id]
    for room, depths in ((0, {0}), (3, {1, 2, 3})):
        length = prompt + len(refusal) + room - 1  # a row has one target more than prompts
        deep = deep_chats(tmp_path, length=length, deep_share=1.0, **files)
        rows = encode_chats(TOKENIZER, deep, length)
        for targets in rows.targets_NT:
            assert targets[targets != -100].tolist() == refusal
        assert {chat.skip_words for chat in deep} == depths


def test_without_refusals_there_is_nothing_to_deepen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"deep_share: no chat .* raise world_chats.refusals"):
        deep_chats(tmp_path, world_chats={"chats": 40, "refusals": 0.0})
