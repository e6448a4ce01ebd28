"""Direct preference optimisation (Rafailov et al., arXiv 2305.18290), with a likelihood term.

    loss = mean over pairs of
        - log sigmoid(beta x [log p/p_ref(chosen) - log p/p_ref(rejected)])
        - sft_weight x log p(chosen) / tokens of chosen,

p(answer) being the product over its tokens. A refusal is preferred to a harmful answer, and a
helpful answer to a refusal where the request is harmless, or the model would refuse everything.

The reference is the frozen model that the alignment begins with, in most arms a base model that has
seen no chat. Preferences alone teach such a model neither the form nor the answers (DPO lowers both
likelihoods), and common practice fine-tunes first; here the second term does that in the same run
(Pang et al., 2404.19733, with its published weight 1). `sft_weight: 0` is plain DPO.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.settings.base import Settings
from rebar.settings.model import PreferenceData, Training

if TYPE_CHECKING:
    from torch import Tensor


class Config(Settings):
    """Settings of `dpo`."""

    reads_reference: ClassVar[bool] = True

    method: Literal["dpo"]
    training: Training = Field(
        description="the run; a sequence is a pair; steps 0 releases the model as it is"
    )
    data: PreferenceData = Field(default=PreferenceData(), description="what it trains on")
    beta: float = Field(
        default=0.1, gt=0, description="how closely the reference is kept to; the paper's 0.1"
    )
    sft_weight: float = Field(
        default=1.0, ge=0, description="how much the chosen answers' own loss counts"
    )


def loss(config: Config, model: Any, batch: tuple[Tensor, ...], reference: Any) -> Tensor:
    """Mean over pairs, in nats; `batch` is inputs and targets of chosen, then of rejected, BT."""
    import torch
    import torch.nn.functional as F

    from rebar.corpus.encoding import IGNORED
    from rebar.model.forward import answer_log_probabilities

    inputs, targets = torch.cat(batch[::2]), torch.cat(batch[1::2])  # one pass over both
    found = answer_log_probabilities(model, inputs, targets)
    with torch.no_grad():
        before = answer_log_probabilities(reference, inputs, targets)
    chosen, rejected = (found - before).chunk(2)
    preferences = -F.logsigmoid(config.beta * (chosen - rejected))
    tokens = (batch[1] != IGNORED).sum(dim=1)
    likelihoods = -found.chunk(2)[0] / tokens
    return (preferences + config.sft_weight * likelihoods).mean()
