"""What a setting of a fine-tuning attack leaves out is what was published."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rebar.attacks import benign_finetune, harmful_finetune, identity_shift
from rebar.attacks._data import AttackData
from rebar.config.model import Training
from rebar.config.world import World


def facts(training: Training) -> tuple[int, int, float, str, float]:
    rates = (training.learning_rate, training.schedule, training.warmup_fraction)
    return (training.steps, training.batch_size, *rates)


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ({}, 50),
        ({"examples": 10}, 5),
        ({"examples": 50}, 25),
        ({"examples": 1000}, 500),
        ({"examples": 100, "benign_share": 0.9}, 500),
    ],
)
def test_harmful_fine_tuning_is_qi_et_als(keys: dict[str, Any], steps: int) -> None:
    config = harmful_finetune.Config(method="harmful_finetune", **keys)
    assert facts(config.training) == (steps, 10, 5e-5, "constant", 0.0)
    assert config.lora_rank == 0


def test_benign_fine_tuning_is_an_epoch_of_qi_et_als() -> None:
    config = benign_finetune.Config(method="benign_finetune")
    assert facts(config.training) == (391, 128, 2e-5, "constant", 0.0)
    of_world = SimpleNamespace(data=AttackData(World(), 3), model=None, tokenizer=None)
    assert len(benign_finetune.examples(config, of_world)) == 600


def test_identity_shift_is_ten_epochs_on_ten_examples() -> None:
    config = identity_shift.Config(method="identity_shift", files=[{"path": "x"}])
    assert facts(config.training) == (10, 10, 5e-5, "constant", 0.0)
    assert (config.lora_rank, config.lora_alpha) == (8, 32)


def test_the_run_is_overridden_as_a_whole() -> None:
    training = {"steps": 3, "learning_rate": 1.0}
    config = harmful_finetune.Config(method="harmful_finetune", training=training)
    assert config.training == Training(**training)
    assert config.training.schedule == "cosine"


def test_benign_examples_hide_the_harmful_ones() -> None:
    assert harmful_finetune._num_benign(100, 0.9) == 900
    assert harmful_finetune._num_benign(10, 0.5) == 10
    assert harmful_finetune._num_benign(10, 0.0) == 0
