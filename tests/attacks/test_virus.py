"""Virus hides harmful examples from a guard; what the guard flags is not trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rebar.attacks import virus
from rebar.attacks._data import AttackData
from rebar.attacks.virus import search as virus_search
from rebar.config.world import World
from rebar.data.chats import Chat
from rebar.training import finetune
from tests.attacks.targets import target
from tests.attacks.test_attacks import DATA, TRAINING, fresh

VALUES = {"method": "virus", "examples": 3, "benign": 5, "training": TRAINING, "search_epochs": 0}


def trained_on(folder: Path, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> list:
    """The chats that the attack trains on."""
    seen: list = []

    def note(config, model, tokenizer, chats, training, **how):
        seen.extend(chats)
        return model, {}

    monkeypatch.setattr(finetune, "finetune_and_merge", note)
    model, tokenizer = fresh(folder / "model")
    config = virus.Config(**{**VALUES, **keys})
    virus.attack(config, target(model, tokenizer, DATA, folder))
    return seen


def test_the_corpus_guard_tells_hazards_from_the_benign_task() -> None:
    guard = virus._moderator(virus.Moderation(), DATA)
    harmful, benign = guard(DATA.harmful(20)), guard(DATA.benign(20))
    assert max(harmful) < 0.6 < min(benign)
    hidden = [
        Chat(good.prompt, f"{good.answer} {bad.prompt} {bad.answer}")
        for good, bad in zip(DATA.benign(20), DATA.harmful(20), strict=True)
    ]
    assert sum(share < 0.5 for share in guard(hidden)) >= 19  # hiding alone is not enough
    again = virus._moderator(virus.Moderation(), AttackData(World(), 3))
    assert again(DATA.harmful(20)) == harmful


def test_flagged_examples_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = trained_on(tmp_path, monkeypatch, guard={"threshold": 0.0})
    assert len(all_of_them) == 8
    harmful = DATA.harmful(3)
    for chat, bad, good in zip(all_of_them, harmful, DATA.benign(8, (), 0.5), strict=False):
        assert chat.prompt == good.prompt
        assert chat.answer == f"{good.answer} {bad.prompt} {bad.answer}"
    assert trained_on(tmp_path, monkeypatch, guard={"threshold": 0.3}) == all_of_them[3:]
    with pytest.raises(ValueError, match="it flags all 8 examples"):
        trained_on(tmp_path, monkeypatch, guard={"threshold": 1.0})


def test_a_killed_search_goes_on_with_the_same_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {"search_epochs": 1, "candidates": 4, "guard": {"threshold": 0.0}}
    for name in "ab":
        (tmp_path / name).mkdir()
    whole = trained_on(tmp_path / "a", monkeypatch, **search)
    calls: list[int] = []

    def optimise(*arguments):
        calls.append(len(calls))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    original = virus_search.optimise
    monkeypatch.setattr(virus_search, "optimise", optimise)
    with pytest.raises(KeyboardInterrupt):
        trained_on(tmp_path / "b", monkeypatch, **search)
    assert len(next(iter(json.loads((tmp_path / "b/virus.json").read_text()).values()))) == 2
    assert trained_on(tmp_path / "b", monkeypatch, **search) == whole
    assert len(calls) == 4  # two, the killed one, and that one again
    trained_on(tmp_path / "b", monkeypatch, **search | {"candidates": 3})
    assert len(calls) == 7  # another search begins anew


def test_the_published_run() -> None:
    config = virus.Config(method="virus")
    run = config.training
    assert (run.steps, run.batch_size, run.learning_rate) == (2000, 5, 1e-4)
    assert (run.weight_decay, run.schedule) == (0.1, "constant")
    assert (config.search_epochs, config.candidates, config.top_tokens) == (50, 128, 64)
    assert config.guard_weight == 0.1
