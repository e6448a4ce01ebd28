"""Fine-tuning as a function of the weights it starts from: K differentiable steps of Adam.

What a meta-learned safeguard trains through (MLAC, arXiv 2211.14946): the mean of some measure of
an adversary after each of 0..K steps, and its exact derivative, of second order. The steps are
computed in segments: the graph of one segment lives at a time, and the state in which each began is
kept. So memory grows with the segment, not with K, for one more run through all but the last.

Everything is in the precision of the start weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Weights = dict[str, Tensor]
# Inside the square root: outside of it, the derivative of Adam's step at a gradient of 0 is
# infinite. Gradients below 1e-4 therefore make smaller steps than Adam's own.
EPSILON = 1e-8
NORM_FLOOR = 1e-24  # inside the root of a squared norm, for the same reason


class Moments(NamedTuple):
    """Adam's running means of the gradient and of its square."""

    mean: Weights
    square: Weights


class Adapted(NamedTuple):
    """A measure after each of 0..K steps, and the derivatives of its mean."""

    values: Tensor  # K + 1
    gradient: Weights  # by the start weights
    rate_gradient: Tensor  # by the learning rate


class _State(NamedTuple):
    weights: Weights
    moments: Moments

    def tensors(self) -> list[Tensor]:
        return [tensor for part in (self.weights, *self.moments) for tensor in part.values()]

    def cut(self) -> _State:
        """The same state without history, whose tensors can be differentiated by."""
        parts = (self.weights, *self.moments)
        cut = [{n: t.detach().requires_grad_() for n, t in part.items()} for part in parts]
        return _State(cut[0], Moments(*cut[1:]))


def no_moments(weights: Weights) -> Moments:
    """The moments of Adam before its first step."""
    return Moments(*({name: torch.zeros_like(w) for name, w in weights.items()} for _ in range(2)))


def adam_step(
    weights: Weights, gradients: Weights, moments: Moments, step: int, rate: Tensor | float
) -> tuple[Weights, Moments]:
    """Weights and moments after the 1-based step, differentiable in all arguments but it."""
    first, second = 0.9, 0.999  # Adam's default betas
    mean = {n: first * moments.mean[n] + (1 - first) * g for n, g in gradients.items()}
    square = {n: second * moments.square[n] + (1 - second) * g * g for n, g in gradients.items()}
    scales = {n: (s / (1 - second**step) + EPSILON).sqrt() for n, s in square.items()}
    moved = {n: w - rate * mean[n] / (1 - first**step) / scales[n] for n, w in weights.items()}
    return moved, Moments(mean, square)


def adapted(
    start: Weights,
    rate: Tensor,
    inner_loss: Callable[[Weights, int], Tensor],
    measure: Callable[[Weights], Tensor],
    *,
    steps: int,
    clip: float,
    segment: int = 0,
) -> Adapted:
    """Fine-tune from `start` by `inner_loss(weights, 0-based step)` and differentiate through it.

    `measure(weights)` is a scalar; `clip` is the largest norm of an inner gradient; `segment` is
    the number of steps that are differentiated at once (0: all).
    """
    advance = partial(_advanced, inner_loss, clip)
    size = segment or max(1, steps)
    firsts = list(range(0, steps, size)) or [0]
    begins = [_State(start, no_moments(start)).cut()]
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention have no second derivative
        for first in firsts[:-1]:
            state = begins[-1]
            for step in range(first, first + size):
                state = advance(state, step, rate.detach(), graph=False).cut()
            begins.append(state)
        later, measured, rate_gradient = [], [], torch.zeros_like(rate)
        for first in reversed(firsts):
            begin, own_rate = begins.pop(), rate.detach().requires_grad_()
            end, values = begin, [] if first else [measure(begin.weights)]
            for step in range(first, min(first + size, steps)):
                end = advance(end, step, own_rate, graph=True)
                values.append(measure(end.weights))
            total = torch.stack(values).sum() / (steps + 1)
            for adjoint, tensor in zip(later, end.tensors() if later else [], strict=True):
                total = total + (adjoint * tensor).sum()
            *later, by_rate = _derivatives(total, [*begin.tensors(), own_rate])
            rate_gradient = rate_gradient + by_rate
            measured = [value.detach() for value in values] + measured
    gradient = dict(zip(start, later, strict=False))  # moments come after the weights
    return Adapted(torch.stack(measured), gradient, rate_gradient)


def _advanced(
    inner_loss: Callable[[Weights, int], Tensor],
    clip: float,
    state: _State,
    step: int,
    rate: Tensor,
    *,
    graph: bool,
) -> _State:
    loss, names = inner_loss(state.weights, step), list(state.weights)
    found = _derivatives(loss, [state.weights[name] for name in names], graph)
    norm = (torch.stack([(g * g).sum() for g in found]).sum() + NORM_FLOOR).sqrt()
    gradients = {n: g * (clip / norm).clamp(max=1.0) for n, g in zip(names, found, strict=True)}
    return _State(*adam_step(state.weights, gradients, state.moments, step + 1, rate))


def _derivatives(value: Tensor, by: list[Tensor], graph: bool = False) -> list[Tensor]:
    """Derivatives of `value` by each tensor; zeros if it does not depend on one."""
    return list(
        torch.autograd.grad(
            value, by, create_graph=graph, allow_unused=True, materialize_grads=True
        )
    )
