"""Training under constraints: the stage's loss is minimised while safety losses keep their bounds.

Primal-dual, in the form of Cooper's AlternatingDualPrimalOptimizer (2504.01212):

    violation of a constraint g, wanted <= 0;   lambda <- clip(lambda + rate x g, 0, cap);
    gradient = plain + sum of lambda x g', with the new multipliers.

The constraints are ours, in nats a token:

- refusal: loss of refusals - bound;
- harmful: bound - min(h, bound + margin), h the loss of harmful answers;
- tamper: the same with h at theta - alpha h' / ||h'||, where one attack step leads (after
  2409.01586; the derivative of the step is dropped).

A bound in nats means another thing in every model. With `twin`, the name of another model of the
grid without a safeguard, it is that model's loss on the same batch, plus `bound`: for the harmful
answers a twin that learned from filtered data (`twin: score0`; it never knew them), for refusals
an aligned one (`twin: score0/sft`). It is trained before, loaded once, and costs a forward pass.

A multiplier is the price of safety: in a settled run, how much plain loss a nat of the bound
costs. Under `every: n` the pressure is the multiplier / n, averaged over steps. Violations are
smoothed for the multipliers, which have a cap, and a constraint counts from its `start` on: early
in pretraining that of refusals cannot be met, and its multiplier would wind up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from rebar.config.base import Positive, Settings, Share
from rebar.config.kinds import SafeguardPart

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.training.safeguarded import Batches, State

    Measured = dict[str, tuple[Tensor, dict[str, Tensor]]]  # loss and gradient by kind

NORM_FLOOR = 1e-12  # a gradient of zeros moves nothing
NEEDED = {"refusal": ("refusal",), "harmful": ("harmful",), "tamper": ("harmful", "tamper")}


class Constraint(Settings):
    """A bound on one loss."""

    kind: Literal["refusal", "harmful", "tamper"] = Field(
        description="loss of refusals, at most; of harmful answers, at least; of those after one "
        "attack step, at least"
    )
    bound: float | None = Field(
        default=None, description="nats per token; beside a twin: added to the twin's loss"
    )
    twin: str | None = Field(
        default=None,
        pattern=r"^[^/]+(/[^/]+)?$",
        description="recipe, or recipe/alignment: that model's loss on the same batch is the bound",
    )
    start: Share = Field(default=0.0, description="share of the run's steps before it counts")

    @model_validator(mode="after")
    def _is_bounded(self) -> Constraint:
        if self.bound is None and self.twin is None:
            raise ValueError(f"the {self.kind} constraint needs bound:, twin: or both")
        return self


class Config(SafeguardPart):
    """Settings of `constrained`."""

    method: Literal["constrained"]
    constraints: list[Constraint] = Field(
        min_length=1, description="what must hold, each kind once"
    )
    every: Positive = Field(default=1, description="steps from one look at them to the next")
    multiplier_rate: float | None = Field(
        default=None,
        gt=0,
        description="step of the multipliers; none: 10 x learning rate / number of constraints, "
        "the advice of Cooper's FAQ",
    )
    smoothing: float = Field(
        default=0.9, ge=0, lt=1, description="share of the past in the violation that they see"
    )
    largest_multiplier: float = Field(default=10.0, gt=0, description="their cap; ours")
    margin: float = Field(
        default=1.0, ge=0, description="nats beyond its bound at which ascent on h stops; ours"
    )
    alpha_relative: float = Field(
        default=1e-3, ge=0, description="tamper: the attack step, as a share of the weights' norm"
    )

    @model_validator(mode="after")
    def _each_kind_once(self) -> Config:
        kinds = [constraint.kind for constraint in self.constraints]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"constraints: each kind once, not {', '.join(kinds)}")
        return self

    @property
    def twins(self) -> list[str]:
        """Models of the grid whose losses are bounds."""
        return [constraint.twin for constraint in self.constraints if constraint.twin]

    @property
    def passes(self) -> float:
        """Forward-backward passes a step, on average; a twin's forward comes on top."""
        starts: dict[str, float] = {}
        for constraint in self.constraints:
            for batch in NEEDED[constraint.kind]:
                starts[batch] = min(starts.get(batch, 1.0), constraint.start)
        return 1 + sum(1 - start for start in starts.values()) / self.every


def gradient(config: Config, model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Plain gradient + each multiplier x its constraint's gradient; moves the multipliers."""
    from rebar.training.gradients import combine_gradients
    from rebar.training.safeguarded import plain_gradient

    terms: list[tuple[Any, dict[str, Tensor]]] = [(1.0, plain_gradient(model, batches, state))]
    if state.step % config.every == 0:
        done = state.step / state.training.steps
        active = [constraint for constraint in config.constraints if constraint.start <= done]
        measured = _measured(config, {c.kind for c in active}, model, batches, state)
        for constraint in active:
            loss, slope = measured[constraint.kind]
            violation, sign = _violation(config, constraint, loss, model, batches, state)
            multiplier = _moved_multiplier(config, constraint.kind, violation, state)
            terms.append((sign * multiplier, slope))
            state.log[f"{constraint.kind}_loss"] = loss
    state.log |= {key: number for key, number in state.memory.items() if "multiplier" in key}
    return combine_gradients(*terms)


def _measured(
    config: Config, kinds: set[str], model: nn.Module, batches: Batches, state: State
) -> Measured:
    """Loss and gradient of each kind; an attack step sets out along the harmful gradient."""
    from rebar.training.checkpoints import trained_parameters
    from rebar.training.gradients import global_norm, shift_weights
    from rebar.training.safeguarded import gradient_at

    found: Measured = {}
    if "refusal" in kinds:
        found["refusal"] = gradient_at(model, batches.refusal, state)
    if kinds & {"harmful", "tamper"}:
        found["harmful"] = gradient_at(model, batches.harmful, state)
    if "tamper" in kinds:
        slope = found["harmful"][1]
        size = global_norm({name: p.detach() for name, p in trained_parameters(model).items()})
        with shift_weights(
            model, slope, -config.alpha_relative * size / (global_norm(slope) + NORM_FLOOR)
        ):
            found["tamper"] = gradient_at(model, batches.harmful, state)
    return found


def _violation(
    config: Config,
    constraint: Constraint,
    loss: Tensor,
    model: nn.Module,
    batches: Batches,
    state: State,
) -> tuple[Tensor, Any]:
    """Violation of the bound in nats, and its derivative by the loss."""
    from rebar.training.safeguarded import loss_at

    is_refusal = constraint.kind == "refusal"
    bound: Any = constraint.bound or 0.0
    if constraint.twin is not None:
        assert constraint.twin in state.twins, f"the stage gave no twin {constraint.twin}"
        twin = state.twins[constraint.twin]
        bound = bound + loss_at(twin, batches.refusal if is_refusal else batches.harmful, state)
    if is_refusal:
        return loss - bound, 1.0
    ceiling = bound + config.margin
    return bound - loss.clamp(max=ceiling), -(loss < ceiling).to(loss.dtype)


def _moved_multiplier(config: Config, kind: str, violation: Tensor, state: State) -> Tensor:
    """One step of dual ascent along the smoothed violation, clipped to 0 and the cap."""
    import torch

    rate = config.multiplier_rate
    if rate is None:
        rate = 10 * state.training.learning_rate / len(config.constraints)
    past = state.memory.get(f"{kind}_violation", violation)
    smoothed = config.smoothing * past + (1 - config.smoothing) * violation
    before = state.memory.get(f"{kind}_multiplier", torch.zeros_like(violation))
    multiplier = (before + rate * smoothed).clamp(0.0, config.largest_multiplier)
    state.memory |= {f"{kind}_violation": smoothed, f"{kind}_multiplier": multiplier}
    return multiplier
