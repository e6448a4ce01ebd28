"""Sharpness-aware training: step along the gradient of the worst point nearby.

SAM (Foret et al., arXiv 2010.01412): e = rho g / ||g||, the gradient is taken at theta + e, the
norm over all parameters together. ASAM (Kwon et al., 2102.11600), `adaptive`:
e = rho w^2 g / || |w| g ||, a ball that follows the scale of each weight. Flat minima are
forgotten less (2605.02105), whatever was learned there, so `on` says what is to be flat:

- language: the stage's own loss, as published;
- refusal: plain + weight x the gradient of the refusals' loss at its own worst point;
- harmful (ours, after the look-ahead of 2409.01586): plain - weight x the gradient of log(1 + h) at
  theta - e, where an attacker's step would lead. The logarithm keeps the ascent from taking over.

The derivative of e is dropped, as published. The gradient behind e is that of the whole batch, of
all processes; the papers' distributed runs perturb each shard by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.kinds import SafeguardPart

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.training.safeguarded import Batches, State

NORM_FLOOR = 1e-12  # a gradient of zeros moves nothing


class Config(SafeguardPart):
    """Settings of `sam`."""

    method: Literal["sam"]
    on: Literal["language", "refusal", "harmful"] = Field(
        default="language", description="the loss that is looked at around the weights"
    )
    adaptive: bool = Field(default=False, description="ASAM: each weight moves with its own size")
    rho: float | None = Field(
        default=None,
        ge=0,
        description="radius; none: 0.05 (2010.01412), adaptive 2.0 (davda54/sam's advice)",
    )
    weight: float = Field(
        default=1.0, ge=0, description="refusal, harmful: how much it counts beside plain training"
    )

    @property
    def radius(self) -> float:
        """`rho`, or its published value."""
        return self.rho if self.rho is not None else 2.0 if self.adaptive else 0.05

    @property
    def passes(self) -> float:
        """Forward-backward passes a step."""
        return 2 if self.on == "language" else 3


def gradient(config: Config, model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Gradient at the perturbed weights, or the plain one plus that of the safety loss there."""
    from rebar.training.gradients import combine_gradients, shift_weights
    from rebar.training.safeguarded import gradient_at, plain_gradient

    plain = plain_gradient(model, batches, state)
    if config.on == "language":
        with shift_weights(model, _perturbation(config, model, plain), config.radius):
            return gradient_at(model, batches.language, state, state.loss)[1]
    batch = batches.refusal if config.on == "refusal" else batches.harmful
    here = gradient_at(model, batch, state)[1]
    radius = config.radius if config.on == "refusal" else -config.radius
    with shift_weights(model, _perturbation(config, model, here), radius):
        loss, there = gradient_at(model, batch, state)
    state.log[f"{config.on}_loss"] = loss  # at the point that is looked at
    scale: Any = config.weight if config.on == "refusal" else -config.weight / (1 + loss)
    return combine_gradients((1.0, plain), (scale, there))


def _perturbation(
    config: Config, model: nn.Module, gradient: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The step of radius 1 that raises the loss most, to first order."""
    from rebar.training.checkpoints import trained_parameters
    from rebar.training.gradients import global_norm

    if not config.adaptive:
        length = global_norm(gradient) + NORM_FLOOR
        return {name: g / length for name, g in gradient.items()}
    weights = {name: p.detach() for name, p in trained_parameters(model).items()}
    length = global_norm({name: weights[name] * g for name, g in gradient.items()}) + NORM_FLOOR
    return {name: weights[name] ** 2 * g / length for name, g in gradient.items()}
