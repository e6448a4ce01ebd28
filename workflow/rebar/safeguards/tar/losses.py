"""Losses of tamper resistance (TAR, arXiv 2408.00761), and the batches that they average over.

Shapes: B rows, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rebar.data.encoding import IGNORED
from rebar.model.forward import causal_logits, causal_states, cross_entropy
from rebar.training.batches import Batch
from rebar.training.preferences import pair_log_probabilities, preference_losses


class Texts(NamedTuple):
    """Tokens whose loss is a mean over all positions, prompt included."""

    inputs_BT: Tensor

    @property
    def weight(self) -> Tensor:
        """Positions."""
        return torch.tensor(self.inputs_BT.numel())


class Pairs(NamedTuple):
    """Two answers to each prompt, and how much the frozen model prefers the chosen one, in nats."""

    chosen_inputs_BT: Tensor
    chosen_targets_BT: Tensor
    rejected_inputs_BT: Tensor
    rejected_targets_BT: Tensor
    margin_B: Tensor

    @property
    def weight(self) -> Tensor:
        """Pairs."""
        return torch.tensor(len(self.margin_B))


def negative_entropy(model: nn.Module, inputs_BT: Tensor) -> Tensor:
    """Minus the mean entropy of the next token in nats, over all positions."""
    logs_BTV = _wide(causal_logits(model, inputs_BT)).log_softmax(dim=-1)
    return (logs_BTV.exp() * logs_BTV).sum(dim=-1).mean()


def pairs(refusal: Batch, harmful: Batch, reference: nn.Module) -> Pairs:
    """Refusals (chosen) and compliance (rejected) on the harmful rows' prompts.

    A refusal's answer is put behind the prompt of the harmful row of its number, so the two kinds
    need not come in pairs; where they do, it stands behind its own prompt.
    """
    chosen = _answered(harmful, refusal)
    rejected = Batch(*(part[: len(chosen.inputs_BT)] for part in harmful))
    device = next(reference.parameters()).device
    rows = [part.to(device) for part in (*chosen, *rejected)]
    with torch.no_grad():
        return Pairs(*rows, margin_B=_margin_B(reference, *rows))


def _answered(prompts: Batch, answers: Batch) -> Batch:
    """Rows of the first batch's prompts with the second one's answers, cut at the row's length."""
    length = prompts.inputs_BT.shape[1]
    count = min(len(prompts.inputs_BT), len(answers.inputs_BT))
    inputs_BT = prompts.inputs_BT[:count].clone()
    targets_BT = torch.full_like(inputs_BT, IGNORED)
    for row in range(count):
        start = int((prompts.targets_BT[row] != IGNORED).int().argmax())  # reads the prompt's last
        targets = answers.targets_BT[row]
        answer = targets[targets != IGNORED][: length - start]
        targets_BT[row, start : start + len(answer)] = answer
        inputs_BT[row, start + 1 : start + len(answer)] = answer[:-1]
    return Batch(inputs_BT, targets_BT)


def preference_loss(
    model: nn.Module,
    chosen_inputs_BT: Tensor,
    chosen_targets_BT: Tensor,
    rejected_inputs_BT: Tensor,
    rejected_targets_BT: Tensor,
    margin_B: Tensor,
    beta: float,
) -> Tensor:
    """DPO's loss (arXiv 2305.18290), by one forward pass over both answers' rows."""
    rows = (chosen_inputs_BT, chosen_targets_BT, rejected_inputs_BT, rejected_targets_BT)
    return preference_losses(_margin_B(model, *rows) - margin_B, beta).mean()


def _margin_B(model: Any, *rows_BT: Tensor) -> Tensor:
    """Log-probability of the chosen answers less that of the rejected ones."""
    chosen_B, rejected_B = pair_log_probabilities(model, *rows_BT)
    return chosen_B - rejected_B


def retain_loss(
    model: nn.Module, inputs_BT: Tensor, targets_BT: Tensor, reference: nn.Module, weight: float
) -> Tensor:
    """Cross-entropy + weight x how far hidden states moved from the frozen model's.

    The distance is the Euclidean one, not squared; its mean is over layers and over the tokens that
    have a target, as the cross-entropy's.
    """
    logits_BTV, states = causal_states(model, inputs_BT)
    with torch.no_grad():
        frozen = causal_states(reference, inputs_BT)[1]
    counts_BT = targets_BT != IGNORED
    moved = [
        torch.linalg.vector_norm(_wide(here) - _wide(there), dim=-1)[counts_BT].mean()
        for here, there in zip(states, frozen, strict=True)
    ]
    return cross_entropy(logits_BTV, targets_BT) + weight * torch.stack(moved).mean()


def mapping_loss(model: nn.Module, inputs_BT: Tensor, seed: int) -> Tensor:
    """1 - |cosine| of hidden states to their tokens' random vectors; mean over layers, tokens."""
    states = causal_states(model, inputs_BT)[1]
    vectors_BTD = random_vectors(inputs_BT, states[0].shape[-1], seed)
    distances = [
        1 - F.cosine_similarity(_wide(state), vectors_BTD.to(_wide(state)), dim=-1).abs()
        for state in states
    ]
    return torch.stack(distances).mean()


def random_vectors(ids_BT: Tensor, width: int, seed: int) -> Tensor:
    """A standard normal vector for each token, drawn anew from the same seed: no table needed."""
    unique_U, places_BT = ids_BT.cpu().unique(return_inverse=True)
    rows = []
    for token in unique_U.tolist():
        generator = torch.Generator().manual_seed(random.Random(f"{seed}/{token}").getrandbits(63))
        rows.append(torch.randn(width, generator=generator))
    return torch.stack(rows)[places_BT].to(ids_BT.device)


def _wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 or wider, for sums of many terms."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
