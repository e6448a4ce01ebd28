"""The ladder of learning rates, and the choice by the task alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import learning_rates
from rebar.attacks import benign_finetune
from rebar.config.file import load_config
from tests.attacks.test_attacks import DATA, TRAINING, fresh
from tests.grid_runs import ROOT


def test_the_smallest_rate_that_comes_to_nine_tenths_is_chosen() -> None:
    assert learning_rates.choose({1e-5: 0.1, 3e-5: 0.73, 1e-4: 0.8, 3e-4: 0.7}) == 3e-5
    assert learning_rates.choose({1e-5: 0.1, 3e-5: 0.7, 1e-4: 0.8, 3e-4: 0.9}) == 3e-4
    with pytest.raises(ValueError, match="no rate of the ladder teaches"):
        learning_rates.choose({1e-5: 0.0, 1e-4: 0.0})


def test_rates_are_three_times_each_other() -> None:
    assert learning_rates.ladder(9.0, 2) == [1.0, 3.0, 9.0, 27.0, 81.0]


def test_every_rate_attacks_the_released_model_anew(tmp_path: Path) -> None:
    fresh(tmp_path)
    setting = benign_finetune.Config(
        method="benign_finetune", training=TRAINING, examples=20, target_accuracy=0.0
    )
    before = (tmp_path / "model.safetensors").read_bytes()
    found = dict(learning_rates.accuracies(setting, tmp_path, DATA, 1))
    assert list(found) == pytest.approx([1e-3 / 3, 1e-3, 3e-3])
    assert all(0 <= accuracy <= 1 for accuracy in found.values())
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert dict(learning_rates.accuracies(setting, tmp_path, DATA, 1)) == found


def test_only_attacks_with_a_task_have_a_ladder(tmp_path: Path) -> None:
    config = load_config(ROOT / "config/smoke.yaml")
    with pytest.raises(ValueError, match="needs a task with right answers"):
        learning_rates._setting(config, "harmful_finetune_10")
    with pytest.raises(ValueError, match="no block of grid: uses it"):
        learning_rates.released_model(config, tmp_path, "nothing", 1)
