"""Benign examples that are chosen because they break safety."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebar.attacks import benign_finetune
from rebar.attacks._data import AttackData
from rebar.attacks._similarity import representation_similarity_N
from rebar.config.rows import ChatFile
from rebar.config.world import World
from tests.attacks.targets import target
from tests.attacks.test_attacks import DATA, TRAINING, fresh

SELECTED = Path(__file__).parents[3] / "shared/data/benign_breaks_safety"


def config(by: str, **keys) -> benign_finetune.Config:
    values = {"examples": 5, "training": TRAINING, "selection": {"by": by, "pool": 12}} | keys
    return benign_finetune.Config(method="benign_finetune", **values)


def test_the_most_alike_of_the_pool_are_taken(tmp_path: Path) -> None:
    model, tokenizer = fresh(tmp_path / "model")
    setting = config("representation")
    chosen = benign_finetune.examples(setting, target(model, tokenizer, DATA, tmp_path))
    pool = DATA.benign_task(12, 0.15)
    alike_N = representation_similarity_N(model, tokenizer, pool, DATA.harmful(10), 48)
    left = [alike for chat, alike in zip(pool, alike_N, strict=True) if chat not in chosen]
    alike_of = dict(zip(pool, alike_N, strict=True))
    assert len(chosen) == 5
    assert min(alike_of[chat] for chat in chosen) >= max(left)


def test_a_harmful_example_in_the_pool_comes_first(tmp_path: Path) -> None:
    class Poisoned(AttackData):
        def benign(self, count, files=(), instructions_share=0.0):
            return [*self.benign_task(count - 1, instructions_share), *self.harmful(1)]

    model, tokenizer = fresh(tmp_path / "model")
    data = Poisoned(World(), 3)
    under_attack = target(model, tokenizer, data, tmp_path)
    for by in ("gradient", "representation"):
        chosen = benign_finetune.examples(config(by), under_attack)
        assert chosen[0] == data.harmful(1)[0]


def test_selected_examples_train_the_same_twice(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        model, tokenizer = fresh(tmp_path / "model")
        under_attack = target(model, tokenizer, DATA, tmp_path)
        model = benign_finetune.attack(config("gradient"), under_attack)
        results.append(model.lm_head.weight.detach())
    assert results[0].equal(results[1])


def test_the_pool_holds_the_examples() -> None:
    with pytest.raises(ValueError, match=r"selection.pool: 12 is less than examples: 50"):
        config("gradient", examples=50)


@pytest.mark.skipif(not SELECTED.exists(), reason="shared data of He et al. are not here")
def test_published_selections_are_read_as_chats(tmp_path: Path) -> None:
    folder = SELECTED / "alpaca_dataset/gradient-illegal-activities-anchor"
    for kind in ("top", "bottom"):
        rows = json.loads((folder / f"alpaca_{kind}100.json").read_text())
        path = tmp_path / f"{kind}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files = [ChatFile(path=str(path), prompt="instruction", answer="output")]
        assert len(DATA.benign(200, files)) == 100
