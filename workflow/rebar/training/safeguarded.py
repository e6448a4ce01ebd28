"""A safeguard in the training loop: what its parts read and keep, and how they are combined.

Each part adds what it would change about plain training:

    direction = plain + strength x sum over parts of (part - plain),

where `plain` is the gradient that the loop would use without a safeguard. A single part at strength
1 gives that part's direction; strength 0 gives plain training, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from rebar.config.model import Training
from rebar.config.safeguard import Safeguard
from rebar.model.forward import language_loss
from rebar.training.checkpoints import trained_parameters
from rebar.training.gradients import (
    AnyBatch,
    Gradient,
    combine_gradients,
    compute_gradient,
    mean_loss,
)

PLAIN = "plain"  # key of the plain gradient, which all parts of a step share


def _one_float32_step() -> Training:
    return Training(steps=1, learning_rate=1e-3, precision="float32", compile=False)


@dataclass
class Batches:
    """The batches that a safeguard may read in one step.

    `language` is the batch of plain training. The others are complying answers to harmful requests,
    refusals of such requests, and helpful answers to harmless requests. A method that needs several
    batches of a kind calls `draw`.
    """

    language: AnyBatch
    harmful: AnyBatch
    refusal: AnyBatch
    benign: AnyBatch
    batch_of: Callable[[str, int], AnyBatch] | None = None  # batch by kind and number

    def draw(self, kind: str, number: int) -> AnyBatch:
        """The step's batch of this kind and number; number 0 is the attribute of that name."""
        if number == 0 or self.batch_of is None:
            return getattr(self, kind)
        return self.batch_of(kind, number)


@dataclass
class State:
    """What a part knows besides the batches; only `memory` lasts until the next step.

    `loss` is what the stage minimises on `batches.language`. `reference` is a frozen copy of the
    stage's start model, or None if no part needs it. `twins` are other frozen models, by the names
    that the parts give them. `log` takes numbers for the metrics; a part that never asks for the
    plain gradient must store its training loss there as `loss`.
    """

    training: Training = field(default_factory=_one_float32_step)
    step: int = 0
    seed: int = 0
    loss: Callable[..., Tensor] = language_loss
    reference: Any = None
    twins: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Tensor] = field(default_factory=dict)  # replace tensors, never change them
    log: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[str, tuple[Tensor, Gradient]] = field(default_factory=dict)  # by all parts


def gradient_at(
    model: nn.Module, batch: AnyBatch, state: State, loss: Callable[..., Tensor] = language_loss
) -> tuple[Tensor, Gradient]:
    """Mean loss of the batch and its gradient at the present weights: one forward-backward pass."""
    return compute_gradient(model, batch, state.training, loss)


def loss_at(model: nn.Module, batch: AnyBatch, state: State) -> Tensor:
    """Mean language loss of the batch by one forward pass; `model` may be a frozen one."""
    return mean_loss(model, batch, state.training, language_loss)


def plain_gradient(model: nn.Module, batches: Batches, state: State) -> Gradient:
    """The gradient of plain training, computed once per step for all parts; do not change it."""
    if PLAIN not in state.shared:
        state.shared[PLAIN] = gradient_at(model, batches.language, state, state.loss)
    return state.shared[PLAIN][1]


class Part(NamedTuple):
    """One method of a safeguard: the plug-in's function, its settings and its state."""

    gradient: Callable[[Any, nn.Module, Batches, State], Gradient]
    config: Any
    state: State


class SafeguardedTraining:
    """A training under a safeguard; `train` asks it for the direction of each step."""

    def __init__(
        self,
        setting: Safeguard,
        parts: Sequence[Part],
        batch_of: Callable[[int, str, int], AnyBatch],
    ) -> None:
        """`batch_of(step, kind, number)` is a batch of harmful, refusal or benign examples."""
        self.setting, self.parts, self.batch_of = setting, parts, batch_of

    def strength(self, step: int, steps: int) -> float:
        """Strength in the 0-based `step`: 0 outside start and end, rising linearly over `ramp`.

        Start, end and ramp are shares of all `steps`.
        """
        setting, done = self.setting, step / steps
        if not setting.start <= done < setting.end:
            return 0.0
        ramp = setting.ramp and min(1.0, ((step + 1) / steps - setting.start) / setting.ramp)
        return setting.strength * (ramp or 1.0)

    def set_gradients(
        self,
        model: nn.Module,
        batch: AnyBatch,
        training: Training,
        loss: Callable[..., Tensor],
        step: int,
    ) -> Tensor:
        """Store the step's direction in `.grad`, equal in all processes, and return the loss."""
        batches = self._batches(batch, step)
        shared: dict[str, tuple[Tensor, Gradient]] = {}
        for part in self.parts:
            part.state.training, part.state.step = training, step
            part.state.loss, part.state.shared = loss, shared
        strength = self.strength(step, training.steps)
        with self._restore_memory_on_error():
            direction = self._direction(model, batches, strength)
        for name, parameter in trained_parameters(model).items():
            parameter.grad = direction[name]
        # The metrics show the loss of plain training if a part has computed it.
        return shared[PLAIN][0] if PLAIN in shared else self.parts[0].state.log["loss"]

    def _direction(self, model: nn.Module, batches: Batches, strength: float) -> Gradient:
        first, *others = self.parts
        # The rule of combination gives the part's direction; skipping it saves the plain gradient.
        if strength == 1.0 and not others:
            return first.gradient(first.config, model, batches, first.state)
        plain = plain_gradient(model, batches, first.state)
        # The rule of combination with the plain terms collected.
        terms = [(1.0 - strength * len(self.parts), plain)]
        for part in self.parts:
            terms.append((strength, part.gradient(part.config, model, batches, part.state)))
        return combine_gradients(*terms)

    @contextmanager
    def _restore_memory_on_error(self) -> Iterator[None]:
        """Undo changes of the parts' memory if the step fails.

        A step that ran out of memory is repeated in smaller parts and must start from the same
        state.
        """
        known = [dict(part.state.memory) for part in self.parts]
        try:
            yield
        except BaseException:
            for part, memory in zip(self.parts, known, strict=True):
                part.state.memory = memory
            raise

    def _batches(self, batch: AnyBatch, step: int) -> Batches:
        first = {kind: self.batch_of(step, kind, 0) for kind in ("harmful", "refusal", "benign")}
        return Batches(
            batch, **first, batch_of=lambda kind, number: self.batch_of(step, kind, number)
        )

    def take_numbers(self) -> dict[str, float]:
        """The numbers that the parts logged since the last call, named by method; clears them."""
        numbers: dict[str, float] = {}
        methods = [part.config.method for part in self.parts]
        for index, part in enumerate(self.parts):
            # Two parts of one method are told apart by their position.
            name = methods[index] if methods.count(methods[index]) == 1 else f"part{index}"
            for key in sorted(part.state.log):
                numbers[f"{name}_{key}"] = float(part.state.log[key])
            part.state.log.clear()
        return numbers

    def memory(self) -> dict[str, Tensor]:
        """The parts' memory and unlogged numbers, for a checkpoint."""
        # A logged number may be the same tensor as a remembered one, and safetensors refuses
        # tensors that share memory: so copy it.
        return {
            f"{index}.{kind}.{key}": tensor.clone() if kind == "log" else tensor
            for index, part in enumerate(self.parts)
            for kind in ("memory", "log")
            for key, tensor in getattr(part.state, kind).items()
        }

    def load_memory(self, memory: dict[str, Tensor]) -> None:
        """Restore the memory that a checkpoint holds."""
        for name, tensor in memory.items():
            index, kind, key = name.split(".", 2)
            getattr(self.parts[int(index)].state, kind)[key] = tensor
