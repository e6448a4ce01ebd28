"""Trainings that two gloo processes share: `torch.distributed.run ... two_processes.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from rebar.config.model import Training
from rebar.training import distributed
from rebar.training.batches import Batch, row_batches
from rebar.training.gradients import add_gradients
from rebar.training.train import train
from tests.model.tiny import recorder, rows, settings, tiny_llama

CASES = {
    "float32": {},
    "accumulated": {"gradient_accumulation": 2},
    "bf16": {"precision": "bf16"},
}
STEPS = 30


def plan(name: str, num_processes: int) -> Training:
    return settings(steps=STEPS, batch_size=8, processes_per_node=num_processes, **CASES[name])


def batch_at(step: int) -> Batch:
    return row_batches(*rows(num_rows=40), batch_size=8, seed=3)(step)


def run(folder: Path, plan: Training) -> None:
    """Train a tiny model; metrics and weights go to the folder."""
    folder.mkdir(exist_ok=True, parents=True)
    model = tiny_llama(deviation=0.1)
    train(model, batch_at, plan, recorder(folder))
    save_file({name: p.detach() for name, p in model.named_parameters()}, folder / "end")


def lopsided_gradient(folder: Path) -> None:
    """The gradient of a batch of which one process has no target."""
    model = tiny_llama(deviation=0.1)
    batch = one_sided()
    two = settings(processes_per_node=2)
    loss = distributed.sum_over_processes(
        add_gradients(model, batch, two, lambda m, i, t: m(i, labels=t).loss)
    )
    distributed.all_reduce_gradients(model)
    if distributed.is_first_process():
        gradients = {name: p.grad for name, p in model.named_parameters()}
        save_file({**gradients, "loss": loss}, folder / "gradient")


def one_sided() -> Batch:
    inputs, targets = batch_at(0)
    targets[: len(targets) // 2] = -100
    return Batch(inputs, targets)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    distributed.join_group()
    lopsided_gradient(root)
    leave, distributed.leave_group = distributed.leave_group, lambda: None
    for name in CASES:
        folder = root / name / str(distributed.is_first_process())
        run(folder, plan(name, 2))
    leave()
