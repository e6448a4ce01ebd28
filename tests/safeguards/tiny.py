"""Models of a few hundred weights in float64, whose gradients are found by differences."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from rebar.training.batches import Batch
from rebar.training.safeguarded import Batches
from tests.model.tiny import rows

VOCABULARY = 9
STEP = 1e-4  # of a central difference: errors of 1e-8 in float64
Gradient = dict[str, Tensor]


class Norm(nn.Module):
    """Llama's norm in the precision of its input; transformers' computes in float32."""

    def __init__(self, weight: nn.Parameter, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = weight, epsilon

    def forward(self, hidden: Tensor) -> Tensor:
        square = hidden.pow(2).mean(-1, keepdim=True)
        return self.weight * hidden * torch.rsqrt(square + self.epsilon)


def tiny_network(seed: int = 0, *, layers: int = 2) -> LlamaForCausalLM:
    """A Llama of 4 numbers a token, float64, in training mode."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=layers,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=16,
        initializer_range=0.5,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).double().train()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LlamaRMSNorm):
                setattr(parent, name, Norm(child.weight, child.variance_epsilon))
    return model


def batch(seed: int, num_rows: int = 4) -> Batch:
    return Batch(*rows(num_rows=num_rows, length=6, vocabulary=VOCABULARY, seed=seed))


def batches(more: Callable[[str, int], Batch] | None = None) -> Batches:
    return Batches(batch(1), batch(2), batch(3), batch(4), more)


def cross_entropy(batch: Batch) -> Callable[[nn.Module], Tensor]:
    """Mean loss of a batch in the model's precision, through transformers' own forward."""

    def loss(model: nn.Module) -> Tensor:
        logits = model(input_ids=batch.inputs_BT, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), batch.targets_BT.flatten())

    return loss


def weights(model: nn.Module) -> Gradient:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@torch.no_grad()
def set_weights(model: nn.Module, values: Gradient) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(values[name])


@torch.no_grad()
def numeric_gradient(
    model: nn.Module, loss: Callable[[nn.Module], Tensor], at: Gradient | None = None
) -> Gradient:
    """Central differences, weight by weight, at the present weights or at others."""
    before = weights(model)
    set_weights(model, at or before)
    found = {}
    for name, parameter in model.named_parameters():
        flat, differences = parameter.view(-1), torch.zeros(parameter.numel()).double()
        for index, value in enumerate(flat.tolist()):
            sides = []
            for side in (value + STEP, value - STEP):
                flat[index] = side
                sides.append(float(loss(model)))
            flat[index] = value
            differences[index] = (sides[0] - sides[1]) / (2 * STEP)
        found[name] = differences.view_as(parameter)
    set_weights(model, before)
    return found


def flat(gradient: Gradient) -> Tensor:
    return torch.cat([g.detach().double().flatten() for g in gradient.values()])


def plus(*terms: tuple[float, Gradient]) -> Gradient:
    """Sum of scale x gradient."""
    return {name: sum(scale * g[name] for scale, g in terms) for name in terms[0][1]}


def distance(found: Gradient, expected: Gradient) -> float:
    """Length of the difference, relative to what is expected."""
    assert found.keys() == expected.keys()
    return float((flat(found) - flat(expected)).norm() / flat(expected).norm())
