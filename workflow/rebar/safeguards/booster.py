"""Booster: one attack step is to gain little (Huang et al., arXiv 2409.01586).

    min f(w) + weight x (h(w) - h(w - alpha h'(w) / ||h'(w)||)),

where f is the stage's own loss (in the paper that of refusals) and h the harmful one. As
published, the derivative of the step is dropped:

    gradient = f' + weight x (h'(w) - h'(w - alpha h' / ||h'||)).

The norm is over all trained weights together. The published alpha 0.1 is a length in the space of
LoRA adapters (rank 32 on q, k, v); where all weights train it means something else, and
`alpha_relative`, a share of ||w||, carries over between sizes. The paper acts in alignment; in
pretraining it is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rebar.config.kinds import SafeguardPart

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.training.safeguarded import Batches, State

NORM_FLOOR = 1e-7  # of the authors' trainer


class Config(SafeguardPart):
    """Settings of `booster`."""

    method: Literal["booster"]
    weight: float = Field(default=5.0, ge=0, description="lambda: how much an attack's gain counts")
    alpha: float = Field(
        default=0.1, ge=0, description="length of the attack step; 0.1 belongs to LoRA's space"
    )
    alpha_relative: float | None = Field(
        default=None,
        ge=0,
        description="that length as a share of the weights' norm, instead of alpha; ours, for "
        "training all weights: try 1e-4 to 1e-2",
    )

    @property
    def passes(self) -> float:
        """Forward-backward passes a step."""
        return 3


def gradient(config: Config, model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Plain gradient + weight x (harmful gradient here - that after one normalised attack step)."""
    from rebar.training.gradients import combine_gradients, global_norm, shift_weights
    from rebar.training.safeguarded import gradient_at, plain_gradient

    plain = plain_gradient(model, batches, state)
    before, here = gradient_at(model, batches.harmful, state)
    length = global_norm(here) + NORM_FLOOR
    with shift_weights(model, here, -_step_length(config, model) / length):
        after, there = gradient_at(model, batches.harmful, state)
    state.log |= {"harmful_loss": before, "attack_gain": before - after}
    return combine_gradients((1.0, plain), (config.weight, here), (-config.weight, there))


def _step_length(config: Config, model: nn.Module) -> float | Tensor:
    from rebar.training.checkpoints import trained_parameters
    from rebar.training.gradients import global_norm

    if config.alpha_relative is None:
        return config.alpha
    return config.alpha_relative * global_norm(
        {n: p.detach() for n, p in trained_parameters(model).items()}
    )
