"""Gradients of one batch, computed in micro-batches and over processes.

A gradient is a dictionary of tensors by parameter name. It always belongs to the whole batch: parts
and processes are summed, so that every process holds the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rebar.config.model import Training
from rebar.training import distributed
from rebar.training.checkpoints import trained_parameters
from rebar.training.memory import is_out_of_memory

Gradient = dict[str, Tensor]


class AnyBatch(Protocol):
    """A named tuple of tensors whose first dimension is the rows."""

    @property
    def weight(self) -> Tensor:
        """What the batch's mean loss averages over: target tokens or rows."""
        ...

    def __iter__(self) -> Iterator[Any]: ...
    def _asdict(self) -> dict[str, Any]: ...
    def _replace(self, **fields: Any) -> Any: ...


def set_gradients(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> Tensor:
    """Store the gradient of the batch's mean loss in `.grad` and return the loss.

    Both are summed over all processes. If one process runs out of memory, all processes raise
    RuntimeError, because they must take the same path: a process that went on alone would wait for
    the others forever.
    """
    share, error = None, None
    try:
        share = add_gradients(model, batch, settings, loss)
    except RuntimeError as raised:
        if not is_out_of_memory(raised):
            raise
        # The traceback would keep the failed step's tensors alive, and their memory with them.
        error = raised.with_traceback(None)
    if distributed.any_process(share is None):
        raise error or torch.OutOfMemoryError("out of memory in another process")
    assert share is not None
    distributed.all_reduce_gradients(model)
    return distributed.sum_over_processes(share)


def add_gradients(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> Tensor:
    """Add the gradient of the batch's mean loss to `.grad`; return the loss, detached.

    With several processes each one adds its share only; the sum over processes is the batch's.
    """
    total = torch.zeros((), device=next(model.parameters()).device)
    for part_loss in _part_losses(model, batch, settings, loss):
        part_loss.backward()
        total += part_loss.detach()
    return total


@torch.no_grad()
def mean_loss(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> Tensor:
    """Mean loss of the batch over all processes, by forward passes only."""
    total = torch.zeros((), device=next(model.parameters()).device)
    for part_loss in _part_losses(model, batch, settings, loss):
        total += part_loss
    return distributed.sum_over_processes(total)


def _part_losses(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> Iterator[Tensor]:
    """Yield what each part of this process's share adds to the batch's mean loss."""
    device = next(model.parameters()).device
    num_parts = settings.num_processes * settings.gradient_accumulation
    for part in distributed.local_share(_parts(batch, num_parts)):
        if part.weight == 0 < batch.weight:
            continue  # a part without targets has no mean loss
        # Parts may have unequal weights: weighted means sum to the mean over the batch.
        share = part.weight / batch.weight
        part = part._replace(**{name: rows.to(device) for name, rows in part._asdict().items()})
        # The weights stay float32; only the forward pass computes in bf16 (mixed precision).
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            part_loss = loss(model, *part) * share
        yield part_loss


def _parts(batch: AnyBatch, num_parts: int) -> list[Any]:
    """Cut the batch along its rows into equal parts; with too few rows the last parts are empty."""
    # tensor_split allows empty parts, for batches with fewer rows than parts.
    columns = {name: column.tensor_split(num_parts) for name, column in batch._asdict().items()}
    return [
        batch._replace(**{name: parts[index] for name, parts in columns.items()})
        for index in range(num_parts)
    ]


def compute_gradient(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> tuple[Tensor, Gradient]:
    """Mean loss of the batch and its gradient at the present weights; `.grad` is empty afterwards.

    One forward and backward pass. A parameter that the loss does not depend on has gradient zero.
    """
    try:
        return set_gradients(model, batch, settings, loss), collect_gradient(model)
    finally:
        # Also after an error: the next gradient must not be added to a partial one.
        model.zero_grad(set_to_none=True)


def collect_gradient(model: nn.Module) -> Gradient:
    """The tensors in `.grad`, not copied; zeros where there is none."""
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in trained_parameters(model).items()
    }


@contextmanager
def shift_weights(
    model: nn.Module, offset: Mapping[str, Tensor], scale: float | Tensor
) -> Iterator[None]:
    """A context in which the weights are theta + scale x offset; afterwards exactly theta again.

    The weights are restored from a copy, because adding and subtracting would round them in bf16.
    """
    with preserve_weights(model), torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.add_(offset[name] * scale)
        # Inside, the caller computes gradients at the shifted weights.
        with torch.enable_grad():
            yield


@contextmanager
def preserve_weights(model: nn.Module) -> Iterator[None]:
    """A context that restores the trained weights exactly, whatever happens to them inside."""
    parameters = trained_parameters(model)
    saved = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved[name])


def global_norm(gradient: Mapping[str, Tensor]) -> Tensor:
    """Euclidean norm over all parameters together."""
    # The norm of the norms is the norm of all; no copy of all gradients in one tensor is needed.
    return torch.stack([torch.linalg.vector_norm(_wide(g)) for g in gradient.values()]).norm()


def inner_product(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Tensor:
    """Inner product over all parameters together."""
    return torch.stack([(_wide(g) * second[name]).sum() for name, g in first.items()]).sum()


def _wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 at least: bf16 cannot hold a sum over all weights."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def combine_gradients(*terms: tuple[float | Tensor, Mapping[str, Tensor]]) -> Gradient:
    """The sum of scale x gradient over the given terms, parameter by parameter."""
    names = terms[0][1].keys()
    return {name: add_in_order([scale * g[name] for scale, g in terms]) for name in names}


def add_in_order(tensors: list[Tensor]) -> Tensor:
    """The sum of the tensors, added from left to right: the order decides the last bits."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
