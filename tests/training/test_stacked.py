"""Stacked runs equal separate runs of `train`; the start model does not change."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from rebar.config.model import FineTuning
from rebar.training.batches import row_batches
from rebar.training.checkpoints import trained_parameters
from rebar.training.finetune import add_lora
from rebar.training.stacked import Run, train_stacked
from rebar.training.train import train
from tests.model import tiny

FLOAT32, BF16 = 1e-5, 5e-3  # the largest difference of a weight after a few steps

# Several kinds of batches, lengths, rates, decays and both optimisers: seven runs, four stacks.
RUNS = [
    {"learning_rate": 1e-3, "steps": 6},
    {"learning_rate": 3e-3, "steps": 9, "schedule": "constant"},
    {"learning_rate": 1e-2, "steps": 0},
    {"learning_rate": 1e-2, "steps": 6, "optimizer": "sgd", "weight_decay": 0.0},
    {"learning_rate": 1e-3, "steps": 4, "batch_size": 2, "gradient_clip": 0.1},
    {"learning_rate": 2e-3, "steps": 5, "betas": (0.5, 0.9)},
    {"learning_rate": 2e-3, "steps": 5, "warmup_fraction": 0.5},
]


def run(number: int, **values) -> Run:
    settings = tiny.settings(**values)
    inputs, targets = tiny.rows(seed=number)
    return Run(row_batches(inputs, targets, batch_size=settings.batch_size, seed=number), settings)


def alone(model, one: Run, folder: Path) -> dict[str, torch.Tensor]:
    trained = copy.deepcopy(model)
    train(trained, one.batch_at, one.settings, tiny.recorder(folder))
    return {name: p.detach() for name, p in trained_parameters(trained).items()}


def largest_difference(one, other) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("most_at_once", [1, 2, 8])
def test_each_run_ends_as_it_would_alone(tmp_path: Path, most_at_once: int) -> None:
    model = tiny.tiny_llama()
    before = copy.deepcopy(model.state_dict())
    runs = [run(number, **values) for number, values in enumerate(RUNS)]
    stacked = train_stacked(model, runs, most_at_once)
    for one, weights in zip(runs, stacked, strict=True):
        assert largest_difference(weights, alone(model, one, tmp_path)) < FLOAT32
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_in_bf16_they_agree_as_well_as_bf16_can(tmp_path: Path) -> None:
    model = tiny.tiny_llama()
    runs = [run(n, steps=5, learning_rate=1e-3, precision="bf16") for n in range(3)]
    for one, weights in zip(runs, train_stacked(model, runs), strict=True):
        assert largest_difference(weights, alone(model, one, tmp_path)) < BF16


def test_adapters_share_their_base(tmp_path: Path) -> None:
    setting = FineTuning(lora_rank=2, lora_alpha=4, lora_targets="all-linear")
    adapted = add_lora(tiny.tiny_llama(), setting, seed=1)
    runs = [run(n, steps=5, learning_rate=1e-2) for n in range(3)]
    stacked = train_stacked(adapted, runs)
    assert all("lora" in name for name in stacked[0])
    for one, weights in zip(runs, stacked, strict=True):
        assert largest_difference(weights, alone(adapted, one, tmp_path)) < FLOAT32
    assert largest_difference(stacked[0], stacked[1]) > 1e-3


def test_columns_behind_the_last_target_are_left_out_and_change_nothing(tmp_path: Path) -> None:
    model = tiny.tiny_llama()
    inputs, targets = tiny.rows()
    targets[:, 5:] = -100
    settings = tiny.settings(steps=4)
    one = Run(row_batches(inputs, targets, batch_size=4, seed=0), settings)
    seen = []
    model.model.embed_tokens.register_forward_hook(lambda m, args, out: seen.append(out.shape[-2]))
    (weights,) = train_stacked(model, [one])
    assert set(seen) == {5}
    assert largest_difference(weights, alone(model, one, tmp_path)) < FLOAT32


def test_a_run_that_is_not_finite_says_so() -> None:
    runs = [run(0, steps=5), run(1, steps=5, learning_rate=1e30, gradient_clip=1e30)]
    with pytest.raises(ValueError, match=r"not finite at step \d of 5: lower learning_rate"):
        train_stacked(tiny.tiny_llama(), runs)
