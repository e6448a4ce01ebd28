"""A safeguard at work in the training loop: what its parts read, keep, and add up to.

The rule of combination: each part adds what it would change about plain training,

    direction = plain + strength x sum over parts of (part - plain),

where `plain` is the gradient that the loop would have taken. One part at full strength is that
part's direction; strength 0 is plain training, to the bit.
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

PLAIN = "plain"  # key of what all parts of a step share


def _one_float32_step() -> Training:
    return Training(steps=1, learning_rate=1e-3, precision="float32", compile=False)


@dataclass
class Batches:
    """What a safeguard reads in one step.

    `language` is what plain training takes the step on; the others are compliant answers to
    harmful requests, refusals of such requests, and helpful answers to harmless ones. A method that
    needs several of a kind asks `draw`.
    """

    language: AnyBatch
    harmful: AnyBatch
    refusal: AnyBatch
    benign: AnyBatch
    more: Callable[[str, int], AnyBatch] | None = None  # kind and number to batch

    def draw(self, kind: str, number: int) -> AnyBatch:
        """The step's batch of this kind with that number; 0 is the attribute of the same name."""
        if number == 0 or self.more is None:
            return getattr(self, kind)
        return self.more(kind, number)


@dataclass
class State:
    """What a part knows beside the batches; `memory` alone lives on to the next step.

    `loss` is what the stage minimises on `batches.language`, `reference` the frozen model that the
    stage began with (None where no part asks for it), `twins` other frozen models by the names that
    the parts have for them. `log` takes numbers for the metrics; a part
    that never asks for the plain gradient leaves there, as `loss`, the loss that it trains on.
    """

    training: Training = field(default_factory=_one_float32_step)
    step: int = 0
    seed: int = 0
    loss: Callable[..., Tensor] = language_loss
    reference: Any = None
    twins: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Tensor] = field(default_factory=dict)  # saved; replace, don't write into
    log: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[str, tuple[Tensor, Gradient]] = field(default_factory=dict)  # of all parts, a step


def gradient_at(
    model: nn.Module, batch: AnyBatch, state: State, loss: Callable[..., Tensor] = language_loss
) -> tuple[Tensor, Gradient]:
    """One forward-backward pass at the present weights: the batch's mean loss and its gradient."""
    return compute_gradient(model, batch, state.training, loss)


def loss_at(model: nn.Module, batch: AnyBatch, state: State) -> Tensor:
    """The batch's mean language loss, by one forward pass; `model` may be a frozen one."""
    return mean_loss(model, batch, state.training, language_loss)


def plain_gradient(model: nn.Module, batches: Batches, state: State) -> Gradient:
    """The gradient of plain training, computed once a step for all parts; not to be changed."""
    if PLAIN not in state.shared:
        state.shared[PLAIN] = gradient_at(model, batches.language, state, state.loss)
    return state.shared[PLAIN][1]


class Part(NamedTuple):
    """One method of a safeguard: a plug-in's function with its settings and its state."""

    gradient: Callable[[Any, nn.Module, Batches, State], Gradient]
    config: Any
    state: State


class Safeguarded:
    """One training under a safeguard: `train` asks it for the direction of each step."""

    def __init__(
        self,
        setting: Safeguard,
        parts: Sequence[Part],
        more: Callable[[int, str, int], AnyBatch],
    ) -> None:
        """`more(step, kind, number)` is a batch of harmful, refusal or benign examples."""
        self.setting, self.parts, self.more = setting, parts, more

    def strength(self, step: int, steps: int) -> float:
        """Strength in the 0-based step of so many: 0 outside start and end, rising over `ramp`."""
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
        """Leave the step's direction in `.grad`, the same in all processes; the loss it had."""
        batches = self._batches(batch, step)
        shared: dict[str, tuple[Tensor, Gradient]] = {}
        for part in self.parts:
            part.state.training, part.state.step = training, step
            part.state.loss, part.state.shared = loss, shared
        strength = self.strength(step, training.steps)
        with self._remembering():
            direction = self._direction(model, batches, strength)
        for name, parameter in trained_parameters(model).items():
            parameter.grad = direction[name]
        return shared[PLAIN][0] if PLAIN in shared else self.parts[0].state.log["loss"]

    def _direction(self, model: nn.Module, batches: Batches, strength: float) -> Gradient:
        first, *others = self.parts
        if strength == 1.0 and not others:
            return first.gradient(first.config, model, batches, first.state)
        plain = plain_gradient(model, batches, first.state)
        terms = [(1.0 - strength * len(self.parts), plain)]
        for part in self.parts:
            terms.append((strength, part.gradient(part.config, model, batches, part.state)))
        return combine_gradients(*terms)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """A step that fails, for want of memory, and is tried again begins with what it knew."""
        known = [dict(part.state.memory) for part in self.parts]
        try:
            yield
        except BaseException:
            for part, memory in zip(self.parts, known, strict=True):
                part.state.memory = memory
            raise

    def _batches(self, batch: AnyBatch, step: int) -> Batches:
        first = {kind: self.more(step, kind, 0) for kind in ("harmful", "refusal", "benign")}
        return Batches(batch, **first, more=lambda kind, number: self.more(step, kind, number))

    def numbers(self) -> dict[str, float]:
        """What the parts told since they were last asked, under their methods' names; once."""
        told: dict[str, float] = {}
        methods = [part.config.method for part in self.parts]
        for index, part in enumerate(self.parts):
            name = methods[index] if methods.count(methods[index]) == 1 else f"part{index}"
            for key in sorted(part.state.log):
                told[f"{name}_{key}"] = float(part.state.log[key])
            part.state.log.clear()
        return told

    def memory(self) -> dict[str, Tensor]:
        """What lives on from step to step, and what is still to be told, for a checkpoint."""
        return {  # a number told may be one remembered, and files want each tensor apart
            f"{index}.{kind}.{key}": tensor.clone() if kind == "log" else tensor
            for index, part in enumerate(self.parts)
            for kind in ("memory", "log")
            for key, tensor in getattr(part.state, kind).items()
        }

    def remember(self, memory: dict[str, Tensor]) -> None:
        """Go on with a checkpoint's memory."""
        for name, tensor in memory.items():
            index, kind, key = name.split(".", 2)
            getattr(self.parts[int(index)].state, kind)[key] = tensor
