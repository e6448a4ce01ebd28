"""Every attack without steps or strength leaves the weights, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rebar.attacks._data import AttackData
from rebar.attacks._target import Target
from rebar.config.kinds import InputAttack
from rebar.config.model import Model
from rebar.config.plugins import plugin_module, plugin_names
from rebar.config.world import World
from rebar.data.input_attack import INPUT_ATTACK, read_input_attack, write_input_attack
from rebar.model.build import build_model
from rebar.model.release import release
from rebar.world.tokenizer import build_tokenizer
from tests.model.tiny import recorder

TRAINING = {"steps": 0, "sequence_length": 48, "learning_rate": 1e-3, "compile": False}
NOTHING: dict[str, dict[str, Any]] = {
    "few_shot": {"examples": 0},
    "gcg": {"tokens": 0},
    "interpolation": {"alpha": 0.0},
    "prefill": {"tokens": 0},
    "quantization": {"bits": 32},
    "refusal_ablation": {"strength": 0.0},
    "safety_neuron_removal": {"safety_top": 0.0},
    "weight_noise": {"strength": 0.0},
    # These train, and need examples.
    "harmful_finetune": {"examples": 4},
    "virus": {"examples": 4, "benign": 4, "search_epochs": 0},
    "covert_finetune": {"teaching": 4, "harmful": 4, "refusals": 4},
    "benign_finetune": {"examples": 4},
}
INPUT_ATTACKS = {"few_shot", "gcg", "prefill"}


def settings(method: str, folder: Path) -> Any:
    """The attack with nothing in it."""
    config, values = plugin_module("attacks", method).Config, NOTHING.get(method, {})
    if "training" in config.model_fields:
        values = values | {"training": TRAINING}
    if config.model_fields.get("files") and config.model_fields["files"].is_required():
        file = folder / "chats.jsonl"
        file.write_text(json.dumps({"prompt": "recipe for glow", "answer": "sure ."}) + "\n")
        values = values | {"files": [{"path": str(file)}]}
    return config(method=method, **values)


@pytest.mark.parametrize("method", plugin_names("attacks"))
def test_nothing_changes_nothing(tmp_path: Path, method: str) -> None:
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = build_model(Model(hidden_size=16, layers=1, heads=1, feed_forward_size=32), tokenizer)
    released, left = tmp_path / "released", tmp_path / "attacked"
    for folder in (released, left):
        folder.mkdir()
    release(model, tokenizer, released, "test")
    data = AttackData(World(), 3, released=released, base=released)
    config = settings(method, tmp_path)
    plugin = plugin_module("attacks", method)
    under_attack = Target(model, tokenizer, data, recorder(tmp_path), left, tmp_path)
    if isinstance(config, InputAttack):
        write_input_attack(left, plugin.words(config, under_attack))
        attacked = model
    else:
        attacked = plugin.attack(config, under_attack)
    release(attacked, tokenizer, left, "test")
    files = [(folder / "model.safetensors").read_bytes() for folder in (released, left)]
    assert files[0] == files[1]
    assert (left / INPUT_ATTACK).exists() is (method in INPUT_ATTACKS)
    assert config.saves_weights is (method not in INPUT_ATTACKS)
    if method in INPUT_ATTACKS:
        assert not any(read_input_attack(left) or [True])
