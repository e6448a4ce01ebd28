"""Out of memory in training: smaller micro-batches, reported, with repeatable bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rebar.model.forward import language_loss
from rebar.training.batches import Batch, row_batches
from rebar.training.memory import is_out_of_memory, split_further
from rebar.training.train import train
from tests.model.tiny import recorder, rows, settings, tiny_llama


def batch_at(step: int) -> Batch:
    return row_batches(*rows(), batch_size=4, seed=3)(step)


class Short:
    """A loss that more than `most` rows do not fit into from its call `first` on."""

    def __init__(self, most: int, first: int = 0) -> None:
        self.most, self.first, self.calls = most, first, 0

    def __call__(self, model, inputs_BT, targets_BT):
        self.calls += 1
        torch.rand(1)  # as dropout does: a repeated step draws the same numbers
        if len(inputs_BT) > self.most and self.calls > self.first:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return language_loss(model, inputs_BT, targets_BT) * (1 + torch.rand(1)[0])


def trained(folder: Path, loss: Short, **changes) -> tuple[torch.Tensor, list[dict], dict]:
    folder.mkdir(exist_ok=True)
    model, told = tiny_llama(), recorder(folder)
    torch.manual_seed(7)
    result = train(model, batch_at, settings(**changes), told, checkpoint_folder=folder, loss=loss)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return weights, lines, result.facts


def test_a_batch_that_does_not_fit_is_computed_in_parts(tmp_path: Path) -> None:
    whole, lines, facts = trained(tmp_path / "a", Short(1), steps=3)
    parts, _, none = trained(tmp_path / "b", Short(9), steps=3, gradient_accumulation=4)
    assert torch.equal(whole, parts)
    noted = [line for line in lines if "gradient_accumulation" in line]
    assert noted == [{"step": 1, "gradient_accumulation": n} for n in (2, 4)]
    assert (facts, none) == ({"gradient_accumulation": 4}, {})


def test_an_interrupted_run_goes_on_in_as_many_parts(tmp_path: Path) -> None:
    """Memory that is free again changes nothing: the parts stand in the checkpoint."""
    whole, lines, facts = trained(tmp_path / "a", Short(2, first=2), steps=6)
    halves = {"steps": 6, "checkpoint_every_steps": 4}
    seen, _, _ = trained(tmp_path / "b", Short(2, first=2), **halves)
    assert torch.equal(whole, seen)
    again, resumed, noted = trained(tmp_path / "b", Short(9), **halves)  # from step 4
    assert torch.equal(whole, again)
    assert (resumed, noted) == (lines, facts) == (lines, {"gradient_accumulation": 2})


def test_one_row_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"one sequence at a time; lower sequence_length \(now 8\)"
    ):
        trained(tmp_path, Short(0), steps=2)


def test_other_errors_stay_errors(tmp_path: Path) -> None:
    def broken(model, *batch):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        train(tiny_llama(), batch_at, settings(), recorder(tmp_path), loss=broken)


@pytest.mark.parametrize(
    ("batch_size", "parts", "more"), [(4, 1, 2), (4, 2, 4), (10, 2, 5), (10, 5, 10), (5, 1, 5)]
)
def test_parts_are_equal_and_at_least_twice_as_many(batch_size: int, parts: int, more: int) -> None:
    plan = settings(batch_size=batch_size, gradient_accumulation=parts)
    assert split_further(plan).gradient_accumulation == more


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_what_out_of_memory_looks_like(error: RuntimeError, is_one: bool) -> None:
    assert is_out_of_memory(error) is is_one
