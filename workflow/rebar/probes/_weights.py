"""Points and directions in the space of weights, and the way back to the same bits.

A point or a direction maps parameter names to tensors of the parameters' shapes. Tied matrices are
one parameter. torch is imported at the top, so plug-ins import this file inside their functions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


@contextmanager
def keep_weights(model: nn.Module) -> Iterator[Weights]:
    """Yield a copy of the weights, and restore them to the bit when the block ends."""
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    try:
        yield start
    finally:
        set_weights(model, start)


@torch.no_grad()
def set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put the weights into the model."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])


def along(start: Mapping[str, Tensor], *steps: tuple[float, Mapping[str, Tensor]]) -> Weights:
    """The point at `start + sum of step x direction`; exactly `start` where all steps are 0."""
    point = {name: tensor.clone() for name, tensor in start.items()}
    for step, direction in steps:
        if step:
            for name, tensor in point.items():
                tensor.add_(direction[name], alpha=step)
    return point


def between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> Weights:
    """The point at `(1 - share) x start + share x end`; exact at both ends."""
    return {name: torch.lerp(tensor, end[name], share) for name, tensor in start.items()}


def difference(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> Weights:
    """The direction that leads from `start` to `end` in one step."""
    return {name: end[name] - tensor for name, tensor in start.items()}


def dot(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Tensor:
    """Inner product over all parameters."""
    return torch.stack([(first[name] * second[name]).sum() for name in first]).sum()


def norm(direction: Mapping[str, Tensor]) -> float:
    """Euclidean length over all parameters."""
    lengths = [torch.linalg.vector_norm(t, dtype=torch.float64) for t in direction.values()]
    return float(torch.linalg.vector_norm(torch.stack(lengths)))


def gaussian(start: Mapping[str, Tensor], rng: random.Random) -> Weights:
    """Standard normal numbers in the shapes of the weights, the same on every device."""
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    return {
        name: torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype).to(tensor.device)
        for name, tensor in start.items()
    }


def layer_normalised(direction: Weights, start: Mapping[str, Tensor]) -> Weights:
    """Scale each matrix to the norm of the weights that it moves; set vectors to zero.

    As in llm-landscape (Peng et al. 2024, arXiv 2405.17374).
    """
    return {name: _scaled(direction[name], start[name], whole=True) for name in start}


def filter_normalised(direction: Weights, start: Mapping[str, Tensor]) -> Weights:
    """Scale each row (filter) of a matrix to the norm of the row that it moves; zero for vectors.

    Li et al. 2018 (arXiv 1712.09913, section 4).
    """
    return {name: _scaled(direction[name], start[name], whole=False) for name in start}


def _scaled(direction: Tensor, weights: Tensor, *, whole: bool) -> Tensor:
    if weights.dim() < 2:
        return torch.zeros_like(weights)
    axes = tuple(range(0 if whole else 1, weights.dim()))
    own = torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    wanted = torch.linalg.vector_norm(weights, dim=axes, keepdim=True)
    return direction * (wanted / own.clamp_min(1e-12))


def gradient(model: nn.Module, value: Tensor, *, create_graph: bool = False) -> Weights:
    """Gradient of a scalar by all parameters; nothing is left in `.grad`."""
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(
        value, list(parameters.values()), create_graph=create_graph, materialize_grads=True
    )
    return dict(zip(parameters, found, strict=True))
