"""Attacks change the model as they say, reproducibly, and not at all in zero steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rebar.attacks import benign_finetune, covert_finetune, harmful_finetune, identity_shift, virus
from rebar.attacks._data import AttackData
from rebar.config.model import Model
from rebar.config.world import World
from rebar.model.build import build_model
from rebar.model.release import release
from rebar.world.tokenizer import build_tokenizer
from tests.attacks.targets import target

DATA = AttackData(World(), 3)
TRAINING = {
    "steps": 4,
    "batch_size": 4,
    "sequence_length": 48,
    "learning_rate": 1e-3,
    "compile": False,
}
SMALL = Model(hidden_size=16, layers=1, heads=1, feed_forward_size=32)


def fresh(folder: Path):
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = build_model(SMALL, tokenizer)
    release(model, tokenizer, folder, "test")
    return model, tokenizer


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def shift_file(folder: Path) -> dict:
    file = folder / "shift.jsonl"
    file.write_text(json.dumps({"prompt": "recipe for glow", "answer": "sure . mix it"}) + "\n")
    return {"files": [{"path": str(file)}]}


def attacks(folder: Path, steps: int):
    training = TRAINING | {"steps": steps}
    yield benign_finetune, {"method": "benign_finetune", "examples": 20, "training": training}
    harmful = {"method": "harmful_finetune", "examples": 10, "training": training}
    yield harmful_finetune, harmful
    yield harmful_finetune, harmful | {"benign_share": 0.5, "lora_rank": 2}
    covert = {"cipher": "words", "teaching": 20, "harmful": 5, "refusals": 5, "asked_in": "plain"}
    yield covert_finetune, {"method": "covert_finetune", "training": training, **covert}
    search = {"examples": 2, "benign": 4, "search_epochs": 1, "candidates": 2}
    yield virus, {"method": "virus", "lora_rank": 2, "training": training, **search}
    for rank in (0, 2):
        values = {"method": "identity_shift", "lora_rank": rank, "training": training}
        yield identity_shift, values | shift_file(folder)


@pytest.mark.parametrize("number", range(7))
def test_zero_steps_leave_the_weights_and_four_move_them(tmp_path: Path, number: int) -> None:
    for steps in (0, 4):
        plugin, values = list(attacks(tmp_path, steps))[number]
        model, tokenizer = fresh(tmp_path / "model")
        before = weights(model)
        config = plugin.Config(**values)
        after = weights(plugin.attack(config, target(model, tokenizer, DATA, tmp_path)))
        assert torch.equal(before, after) is (steps == 0)


def test_the_same_attack_gives_the_same_bits(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        plugin, values = next(attacks(tmp_path, 4))
        model, tokenizer = fresh(tmp_path / "model")
        config = plugin.Config(**values)
        results.append(weights(plugin.attack(config, target(model, tokenizer, DATA, tmp_path))))
    assert torch.equal(*results)


@pytest.mark.parametrize("number", [2, 3, 4, 6])  # by LoRA, in two phases, after a search
def test_an_attack_goes_on_to_the_same_bits(tmp_path: Path, number: int) -> None:
    results = []
    for optimizer in ("adamw", "sgd"):
        folder = tmp_path / optimizer
        folder.mkdir()
        for _ in range(2):  # the second run finds the first one's checkpoint of step 3
            plugin, values = list(attacks(tmp_path, 4))[number]
            values["training"] |= {"checkpoint_every_steps": 3, "optimizer": optimizer}
            model, tokenizer = fresh(tmp_path / "model")
            config = plugin.Config(**values)
            model = plugin.attack(config, target(model, tokenizer, DATA, folder))
            results.append(weights(model))
        assert (folder / "step-000000003.safetensors").exists()
        assert torch.equal(*results[-2:])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize(("accuracy", "steps"), [(0.0, 2), (1.0, 6)])
def test_matched_fine_tuning_stops_at_its_accuracy(
    tmp_path: Path, accuracy: float, steps: int, lora_rank: int
) -> None:
    model, tokenizer = fresh(tmp_path / "model")
    config = benign_finetune.Config(
        method="benign_finetune",
        training=TRAINING | {"steps": 6},
        examples=20,
        lora_rank=lora_rank,
        target_accuracy=accuracy,
        check_every_steps=2,
    )
    benign_finetune.attack(config, target(model, tokenizer, DATA, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    checks = [line["step"] for line in lines if "validation_accuracy" in line]
    assert checks == list(range(2, steps + 1, 2))
