"""SEAM: a model that destroys itself when it is fine-tuned on harm (Wang et al., arXiv 2505.12186).

    L = L_ul + alpha L_up + beta L_sd
    L_ul = -log(1 + mean over layers of the harmful answers' loss, read at that layer)
    L_up = loss of refusals
    L_sd = cos(g_a, g_b),   g_a = gradient of the harmful loss, g_b = of the benign one

With L_sd at -1 a step that lowers the harmful loss raises the benign one. Its exact gradient needs
products with two Hessians; as published they are differences of gradients, with c the cosine and
unit vectors a, b of the two:

    ((g_a(theta + eps (b - c a)) - g_a) / |g_a| + (g_b(theta + eps (a - c b)) - g_b) / |g_b|) / eps

A layer is read through the final norm and the unembedding ("logit lens"). The stage's own loss has
no part in it: what keeps a model useful is L_up, and `benign_weight` (ours), which adds g_b, known
anyway. Differences of gradients are taken in float32, since a bf16 forward would round them away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rebar.corpus_settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.model.gradients import Gradient
    from rebar.model.safeguarded import Batches, State

PLACES = ("alignment", "own_stage")
NORM_FLOOR = 1e-12  # of a gradient that is zero


class Config(Settings):
    """Settings of `seam`; the numbers are the authors'."""

    method: Literal["seam"]
    alpha: float = Field(default=1.0, ge=0, description="of the refusals' loss")
    beta: float = Field(default=0.01, ge=0, description="of the cosine between the gradients")
    epsilon: float = Field(
        default=1e-3, gt=0, description="length of the steps that Hessians are found by"
    )
    unlearn_weight: float = Field(
        default=1.0, ge=0, description="of the harmful loss that is raised; published: 1"
    )
    benign_weight: float = Field(
        default=0.0, ge=0, description="of the benign loss; published: 0, ours against forgetting"
    )

    @property
    def passes(self) -> float:
        """Forward-backward passes a step."""
        return 6


def gradient(config: Config, model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Gradient of the three losses, that of the cosine by differences."""
    from rebar.model.gradients import combined
    from rebar.model.safeguarded import gradient_at
    from rebar.model.tamper_losses import lens_loss

    lens, unlearning = gradient_at(model, batches.harmful, state, lens_loss)
    state.log["loss"], refusing = gradient_at(model, batches.refusal, state)
    benign, opposing = _opposition(config, model, batches, state)
    state.log["harmful_loss"] = lens
    return combined(
        (-config.unlearn_weight / (1 + lens), unlearning),
        (config.alpha, refusing),
        (config.beta, opposing),
        (config.benign_weight, benign),
    )


def _opposition(
    config: Config, model: nn.Module, batches: Batches, state: State
) -> tuple[Gradient, Gradient]:
    """Gradient of the benign loss, and that of the cosine between both."""
    from rebar.model.forward import language_loss
    from rebar.model.gradients import combined, dot, gradient, moved, norm

    exact = state.training.model_copy(update={"precision": "float32"})

    def slope(batch: object) -> Gradient:
        return gradient(model, batch, exact, language_loss)[1]  # type: ignore[arg-type]

    harmful, benign = slope(batches.harmful), slope(batches.benign)
    lengths = [norm(each) + NORM_FLOOR for each in (harmful, benign)]
    cosine = dot(harmful, benign) / (lengths[0] * lengths[1])
    state.log["cosine"] = cosine
    units = [combined((1 / n, g)) for n, g in zip(lengths, (harmful, benign), strict=True)]
    terms = []
    for mine, other in ((0, 1), (1, 0)):
        away = combined((1.0, units[other]), (-cosine, units[mine]))
        batch, here = ((batches.harmful, harmful), (batches.benign, benign))[mine]
        with moved(model, away, config.epsilon):
            there = slope(batch)
        scale = 1 / (config.epsilon * lengths[mine])
        terms += [(scale, there), (-scale, here)]
    return benign, combined(*terms)
