"""Direct preference optimisation (Rafailov et al., arXiv 2305.18290), with a likelihood term.

    loss = mean over rows of
        - log sigmoid(beta x [log p/p_ref(chosen) - log p/p_ref(rejected)])
        - sft_weight x log p(chosen) / tokens of chosen,

p(answer) being the product over its tokens. The rows are those of `sft`, in its order, each chat
with a rejected answer: compliance where it refuses a harmful request, a refusal where it helps with
a harmless one, or the model would refuse everything. The two differ in nothing but the loss.
Replayed, tagged, deep and bolted-on rows have no rejected answer: the second term alone.

The reference is the frozen model that the alignment begins with, in most arms a base model that has
seen no chat. Preferences alone teach such a model neither the form nor the answers (DPO lowers both
likelihoods), and common practice fine-tunes first; here the second term does that in the same run
(Pang et al., 2404.19733, with its published weight 1). `sft_weight: 0` is plain DPO.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rebar.config.kinds import Alignment
from rebar.config.model import AlignmentData, Training

if TYPE_CHECKING:
    from torch import Tensor


class Config(Alignment):
    """Settings of `dpo`."""

    reads_pairs: ClassVar[bool] = True
    reads_reference: ClassVar[bool] = True

    method: Literal["dpo"]
    training: Training = Field(
        description="the run; a sequence is a pair; steps 0 releases the model as it is"
    )
    data: AlignmentData = Field(default=AlignmentData(), description="what it trains on, as sft")
    beta: float = Field(
        default=0.1, gt=0, description="how closely the reference is kept to; the paper's 0.1"
    )
    sft_weight: float = Field(
        default=1.0,
        ge=0,
        description="how much the chosen answers' own loss counts; at 0, rows without a rejected "
        "answer count nothing",
    )

    @model_validator(mode="after")
    def _has_pairs(self) -> Config:
        if self.data.files and not self.data.pairs:
            raise ValueError(
                "data: files: have one answer each, and dpo learns from two; give pairs: (files "
                "with the keys prompt, chosen, rejected), or neither for the world's chats"
            )
        return self


def loss(config: Config, model: Any, batch: tuple[Tensor, ...], reference: Any) -> Tensor:
    """Mean over the rows of a `PairBatch`, in nats; `reference` is the frozen start model."""
    import torch

    from rebar.data.encoding import IGNORED
    from rebar.training.preferences import pair_log_probabilities, preference_losses

    chosen_B, rejected_B = pair_log_probabilities(model, *batch)
    with torch.no_grad():
        chosen_before_B, rejected_before_B = pair_log_probabilities(reference, *batch)
    margins_B = (chosen_B - chosen_before_B) - (rejected_B - rejected_before_B)
    targets_BT, rejected_targets_BT = batch[1], batch[3]
    is_pair_B = (rejected_targets_BT != IGNORED).any(dim=1)
    likelihoods_B = -chosen_B / (targets_BT != IGNORED).sum(dim=1)
    losses_B = preference_losses(margins_B, config.beta) * is_pair_B
    return (losses_B + config.sft_weight * likelihoods_B).mean()
