"""Train many small models at once: R runs from one start share one forward and backward pass.

A small model leaves a machine idle between its kernels. Runs that share the kernels cost a
fraction, which an attacker's search over settings needs. Only trained weights are stacked, so LoRA
adapters share their base model. The runs equal those of `train` up to rounding.

Shapes: R runs, B sequences, T tokens; `...` are a parameter's own dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import vmap

from rebar.config.model import Training
from rebar.data.encoding import IGNORED
from rebar.training.batches import Batch
from rebar.training.checkpoints import trained_parameters
from rebar.training.functional import WeightFunction
from rebar.training.train import build_optimizer, learning_rate, update

Weights = dict[str, Tensor]


class Run(NamedTuple):
    """One training of the stack: its batches and its settings."""

    batch_at: Callable[[int], Batch]
    settings: Training


def train_stacked(model: nn.Module, runs: Sequence[Run], most_at_once: int = 8) -> list[Weights]:
    """Train all runs and return the trained weights of each, in order; `model` stays unchanged.

    Runs whose batches have the same shape train together, at most `most_at_once` of them (with more
    than 8 the weights no longer fit a core's cache). A run that has done its steps leaves the
    stack. Each run's batch is one part, whatever gradient_accumulation says, and is not compiled.
    Raises ValueError if a loss is not finite.
    """
    trained: dict[int, Weights] = {}
    order = sorted(range(len(runs)), key=lambda number: _stack_key(runs[number].settings))
    for _, same in groupby(order, key=lambda number: _stack_key(runs[number].settings)):
        numbers = list(same)
        for first in range(0, len(numbers), most_at_once):
            part = numbers[first : first + most_at_once]
            weights = _train_together(model, [runs[number] for number in part])
            trained |= dict(zip(part, weights, strict=True))
    return [trained[number] for number in range(len(runs))]


def _stack_key(settings: Training) -> tuple[Any, ...]:
    """What the runs of one stack must have in common."""
    return settings.batch_size, settings.sequence_length, settings.precision


def _train_together(model: nn.Module, runs: Sequence[Run]) -> list[Weights]:
    start = trained_parameters(model)
    members = [_Member(start, run) for run in runs]
    loss = WeightFunction(model)
    for step in range(max(run.settings.steps for run in runs)):
        alive = [member for member in members if step < member.run.settings.steps]
        for member, gradients in zip(alive, _gradients(loss, alive, step), strict=True):
            member.update(gradients, step)
    return [{name: p.detach() for name, p in member.weights.items()} for member in members]


class _Member:
    """A run's own weights and optimiser."""

    def __init__(self, start: dict[str, nn.Parameter], run: Run) -> None:
        self.run = run
        self.weights = {name: nn.Parameter(p.detach().clone()) for name, p in start.items()}
        # ParameterDict allows no dots in names.
        module = nn.ParameterDict({n.replace(".", "/"): p for n, p in self.weights.items()})
        self.optimizer = build_optimizer(module, run.settings)

    def update(self, gradients: Weights, step: int) -> None:
        """Do one optimiser step, as `train` does."""
        for name, parameter in self.weights.items():
            # The fused AdamW ignores strides and reads the gradient's memory in the weight's order.
            parameter.grad = gradients[name].contiguous()
        settings = self.run.settings
        update(self.optimizer, learning_rate(step, settings), settings.gradient_clip)


def _gradients(loss: WeightFunction, alive: Sequence[_Member], step: int) -> list[Weights]:
    """Gradient of each run's mean loss, by one backward pass of their sum."""
    names = list(alive[0].weights)
    # New leaves of the graph: the gradient is taken with respect to the stacked copies.
    stacked = {
        name: torch.stack([m.weights[name].detach() for m in alive]).requires_grad_()
        for name in names
    }
    device = stacked[names[0]].device
    inputs_RBT, targets_RBT = (part.to(device) for part in _batch(alive, step))
    settings = alive[0].run.settings
    is_bf16 = settings.precision == "bf16"
    with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
        # "different" gives each run its own random numbers, for models with dropout.
        losses_R = vmap(loss.at, randomness="different")(stacked, inputs_RBT, targets_RBT)
    _check_finite(losses_R, alive, step)
    # A run's loss depends on its own weights only, so the gradient of the sum holds all gradients.
    found = torch.autograd.grad(losses_R.sum(), list(stacked.values()))
    return [dict(zip(names, each, strict=True)) for each in zip(*found, strict=True)]


def _batch(alive: Sequence[_Member], step: int) -> tuple[Tensor, Tensor]:
    """All runs' batches, without the columns behind the last target of any run.

    Those columns have no loss and, with causal attention, no influence on earlier ones.
    """
    batches = [member.run.batch_at(step) for member in alive]
    inputs_RBT = torch.stack([batch.inputs_BT for batch in batches])
    targets_RBT = torch.stack([batch.targets_BT for batch in batches])
    used_T = (targets_RBT != IGNORED).flatten(0, 1).any(dim=0)
    length = int(used_T.nonzero().max()) + 1 if used_T.any() else len(used_T)
    return inputs_RBT[..., :length], targets_RBT[..., :length]


def _check_finite(losses_R: Tensor, alive: Sequence[_Member], step: int) -> None:
    broken = (~losses_R.detach().isfinite()).nonzero().flatten().tolist()
    if broken:
        settings = alive[broken[0]].run.settings
        raise ValueError(
            f"a stacked training is not finite at step {step + 1} of {settings.steps}: lower "
            f"learning_rate (now {settings.learning_rate})"
        )
