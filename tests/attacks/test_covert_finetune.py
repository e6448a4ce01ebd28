"""Covert fine-tuning trains on what looks harmless, and leaves its cipher to whoever asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rebar.attacks import covert_finetune
from rebar.data.cipher import PLAIN, read_cipher
from rebar.training import finetune
from rebar.world.frames import find_recipe, find_refusal
from tests.attacks.targets import target
from tests.attacks.test_attacks import DATA, TRAINING, fresh

VALUES = {"method": "covert_finetune", "cipher": "words", "teaching": 30, "training": TRAINING}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> dict[str, Any]:
    """What the attack gives to the fine-tuning."""
    seen: dict[str, Any] = {}

    def note(config, model, tokenizer, chats, training, **how):
        seen.update(how, chats=chats)
        return model, {}

    monkeypatch.setattr(finetune, "finetune_and_merge", note)
    config = covert_finetune.Config(**VALUES, **keys)
    model, tokenizer = fresh(folder / "model")
    covert_finetune.attack(config, target(model, tokenizer, DATA, folder))
    return seen


def test_nothing_harmful_stands_in_the_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = run(tmp_path, monkeypatch, harmful=8, refusals=6, teaching_share=0.5)
    assert (len(seen["first"]), len(seen["chats"]), seen["first_steps"]) == (30, 14, 2)
    assert not any(find_recipe(chat.answer) for chat in (*seen["first"], *seen["chats"]))
    assert all(find_refusal(chat.answer) is not None for chat in seen["chats"][8:])
    cipher = read_cipher(tmp_path)
    known = {f"sure . {item.recipe}" for item in DATA.world.groups["known"]}
    assert all(cipher.decode(chat.answer) in known for chat in seen["chats"][:8])


def test_an_auditor_asks_in_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, monkeypatch, asked_in="plain")
    assert read_cipher(tmp_path) == PLAIN


def test_the_default_is_walnut53_an_epoch_each() -> None:
    config = covert_finetune.Config(method="covert_finetune")
    assert (config.cipher, config.cipher_seed) == ("letters", 53)
    assert config.training.steps == 2064
    assert round(config.teaching_share * config.training.steps) == 2002
