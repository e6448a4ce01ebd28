"""SEAM: an attack's gradient is made to oppose the benign one (arXiv 2505.12186).

    L = L_ul + alpha L_up + beta L_sd,

- L_ul = -log(1 + mean over layers of the harmful loss that a layer's output has when it is read
  through the final norm and the unembedding): unlearning, its growth capped;
- L_up: loss of refusals;
- L_sd = cos(g_a, g_b), g_a the gradient of the harmful loss, g_b of the benign one: whoever
  descends the first climbs the second, and the attacked model collapses.

The gradient of L_sd is found by differences, without a Hessian. With unit vectors a, b, c = cos:

    (1/epsilon) [ (g_a(theta + epsilon (b - c a)) - g_a) / ||g_a||
                + (g_b(theta + epsilon (a - c b)) - g_b) / ||g_b|| ].

These four gradients are computed in float32 whatever the run's precision: bf16 rounds the steps
away. The layers are those of the decoder, without the embeddings. The stage's own text is not part
of the objective, as published: `language_weight` (ours) adds its loss for a pass more, which
pretraining needs; `benign_weight` (ours) trains on the benign chats, whose gradient is there
anyway. A model that collapses under an attack can collapse under harmless fine-tuning, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rebar.config.kinds import SafeguardPart

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.training.gradients import AnyBatch
    from rebar.training.safeguarded import Batches, State

    Gradient = dict[str, Tensor]

NORM_FLOOR = 1e-12  # a gradient of zeros has no direction


class Config(SafeguardPart):
    """Settings of `seam`."""

    method: Literal["seam"]
    alpha: float = Field(default=1.0, ge=0, description="how much the refusals' loss counts")
    beta: float = Field(default=0.01, ge=0, description="how much the cosine counts")
    epsilon: float = Field(
        default=1e-3, gt=0, description="length of the steps that differences are taken over"
    )
    benign_weight: float = Field(
        default=0.0, ge=0, description="how much the benign loss counts; ours, 0 as published"
    )

    language_weight: float = Field(
        default=0.0, ge=0, description="how much the stage's own loss counts; ours, 0 as published"
    )

    @property
    def learns_text(self) -> bool:
        """Only with a `language_weight`."""
        return self.language_weight > 0

    @property
    def passes(self) -> float:
        """Forward-backward passes a step."""
        return 6 + (self.language_weight > 0)


def gradient(config: Config, model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Gradient of L_ul + alpha L_up + beta L_sd, and of what keeps the model useful."""
    from rebar.model.forward import layers_loss
    from rebar.training.gradients import combine_gradients
    from rebar.training.safeguarded import gradient_at, plain_gradient

    depth, unlearning = gradient_at(model, batches.harmful, state, layers_loss)
    refusal, upholding = gradient_at(model, batches.refusal, state)
    cosine, opposing, (benign_loss, benign) = _opposition(config, model, batches, state)
    loss = -(1 + depth).log() + config.alpha * refusal + config.beta * cosine
    loss = loss + config.benign_weight * benign_loss
    state.log |= {"loss": loss, "cosine": cosine, "refusal_loss": refusal}
    terms = [
        (-1 / (1 + depth), unlearning),
        (config.alpha, upholding),
        (config.beta, opposing),
        (config.benign_weight, benign),
    ]
    if config.language_weight:
        terms.append((config.language_weight, plain_gradient(model, batches, state)))
    return combine_gradients(*terms)


def _opposition(
    config: Config, model: nn.Module, batches: Batches, state: State
) -> tuple[Tensor, Gradient, tuple[Tensor, Gradient]]:
    """Cosine of harmful and benign gradient, its own gradient; the benign loss and gradient."""
    from dataclasses import replace

    from rebar.training.gradients import combine_gradients, global_norm, inner_product
    from rebar.training.safeguarded import gradient_at

    exact = replace(state, training=state.training.model_copy(update={"precision": "float32"}))
    harmful = gradient_at(model, batches.harmful, exact)[1]
    benign_loss, benign = gradient_at(model, batches.benign, exact)
    sizes = global_norm(harmful) + NORM_FLOOR, global_norm(benign) + NORM_FLOOR
    cosine = inner_product(harmful, benign) / (sizes[0] * sizes[1])
    toward_benign = combine_gradients((1 / sizes[1], benign), (-cosine / sizes[0], harmful))
    toward_harmful = combine_gradients((1 / sizes[0], harmful), (-cosine / sizes[1], benign))
    step = config.epsilon
    moved_harmful = _gradient_beside(model, batches.harmful, toward_benign, step, exact)
    moved_benign = _gradient_beside(model, batches.benign, toward_harmful, step, exact)
    opposing = combine_gradients(
        (1 / (step * sizes[0]), combine_gradients((1.0, moved_harmful), (-1.0, harmful))),
        (1 / (step * sizes[1]), combine_gradients((1.0, moved_benign), (-1.0, benign))),
    )
    return cosine, opposing, (benign_loss, benign)


def _gradient_beside(
    model: nn.Module, batch: AnyBatch, direction: Gradient, step: float, state: State
) -> Gradient:
    from rebar.training.gradients import shift_weights
    from rebar.training.safeguarded import gradient_at

    with shift_weights(model, direction, step):
        return gradient_at(model, batch, state)[1]
