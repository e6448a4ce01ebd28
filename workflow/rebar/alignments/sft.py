"""Supervised fine-tuning: next-token loss on the answers of chats (arXiv 2504.16980, 5).

With `data.recipe` it is the control `bolt_on`: the refusal and moral documents that a recipe
gives in pretraining come here instead, the same number of tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.kinds import Alignment
from rebar.config.model import AlignmentData, Training

if TYPE_CHECKING:
    from torch import Tensor


class Config(Alignment):
    """Settings of `sft`."""

    method: Literal["sft"]
    training: Training = Field(description="the run; steps 0 releases the model as it is")
    data: AlignmentData = Field(default=AlignmentData(), description="what it trains on")


def loss(config: Config, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross-entropy over the targets of a batch, in nats a token."""
    from rebar.model.forward import language_loss

    return language_loss(model, *batch)
