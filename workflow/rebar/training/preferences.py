"""What preference learning computes from two answers (DPO, Rafailov et al., arXiv 2305.18290).

Shapes: B pairs, T tokens.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rebar.model.forward import answer_log_probabilities


def pair_log_probabilities(
    model: Any,
    chosen_inputs_BT: Tensor,
    chosen_targets_BT: Tensor,
    rejected_inputs_BT: Tensor,
    rejected_targets_BT: Tensor,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the chosen and of the rejected answers, B each, in nats.

    Both come from one forward pass. An answer without targets has log-probability 0.
    """
    # One pass over both halves needs half as many kernel launches and one compiled graph.
    inputs_2BT = torch.cat((chosen_inputs_BT, rejected_inputs_BT))
    targets_2BT = torch.cat((chosen_targets_BT, rejected_targets_BT))
    chosen_B, rejected_B = answer_log_probabilities(model, inputs_2BT, targets_2BT).chunk(2)
    return chosen_B, rejected_B


def preference_losses(margins_B: Tensor, beta: float) -> Tensor:
    """DPO loss of each pair, in nats (equation 7 of the paper).

    A margin is log p(chosen) - log p(rejected), minus the same difference of the reference model.
    """
    return -F.logsigmoid(beta * margins_B)
