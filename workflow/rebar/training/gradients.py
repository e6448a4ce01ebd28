"""Gradients of one batch, in micro-batches and over processes, at the weights or beside them.

A gradient is a dictionary of tensors by parameter name. It is that of the whole batch: parts and
processes are added up, so that every process holds the same numbers.
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
    """A named tuple of tensors, rows first."""

    @property
    def weight(self) -> Tensor:
        """What the batch's mean loss averages over: target tokens, or rows."""
        ...

    def __iter__(self) -> Iterator[Any]: ...
    def _asdict(self) -> dict[str, Any]: ...
    def _replace(self, **fields: Any) -> Any: ...


def set_gradients(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> Tensor:
    """Leave the gradient of the batch's mean loss in `.grad`, of all processes; the loss, too.

    Where memory runs out in one process, all raise RuntimeError: they meet in what follows.
    """
    share, error = None, None
    try:
        share = add_gradients(model, batch, settings, loss)
    except RuntimeError as raised:
        if not is_out_of_memory(raised):
            raise
        error = raised.with_traceback(None)  # which would keep the failed step's tensors alive
    if distributed.any_process(share is None):
        raise error or torch.OutOfMemoryError("out of memory in another process")
    assert share is not None
    distributed.all_reduce_gradients(model)
    return distributed.sum_over_processes(share)


def add_gradients(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> Tensor:
    """Add the gradient of the batch's mean loss to `.grad`; return that loss, detached.

    Of several processes each adds its rows' share only: the shares' sum is that of the batch.
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
    """The batch's mean loss, of all processes, by one forward pass without a backward one."""
    total = torch.zeros((), device=next(model.parameters()).device)
    for part_loss in _part_losses(model, batch, settings, loss):
        total += part_loss
    return distributed.sum_over_processes(total)


def _part_losses(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> Iterator[Tensor]:
    """This process's parts of the batch, one after the other: what each adds to the mean loss."""
    device = next(model.parameters()).device
    num_parts = settings.num_processes * settings.gradient_accumulation
    for part in distributed.local_share(_parts(batch, num_parts)):
        if part.weight == 0 < batch.weight:
            continue  # a mean over nothing
        share = part.weight / batch.weight
        part = part._replace(**{name: rows.to(device) for name, rows in part._asdict().items()})
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            part_loss = loss(model, *part) * share
        yield part_loss


def _parts(batch: AnyBatch, num_parts: int) -> list[Any]:
    """The batch cut along its rows into equal parts; of fewer rows, the last parts are empty."""
    columns = {name: column.tensor_split(num_parts) for name, column in batch._asdict().items()}
    return [
        batch._replace(**{name: parts[index] for name, parts in columns.items()})
        for index in range(num_parts)
    ]


def compute_gradient(
    model: nn.Module, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor]
) -> tuple[Tensor, Gradient]:
    """Mean loss of the batch and its gradient at the present weights; `.grad` is clear after.

    One forward-backward pass. A parameter that the loss does not touch has a gradient of zeros.
    """
    try:
        return set_gradients(model, batch, settings, loss), collect_gradient(model)
    finally:
        model.zero_grad(set_to_none=True)


def collect_gradient(model: nn.Module) -> Gradient:
    """What stands in `.grad`, without a copy; zeros where nothing does."""
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in trained_parameters(model).items()
    }


@contextmanager
def shift_weights(
    model: nn.Module, offset: Mapping[str, Tensor], scale: float | Tensor
) -> Iterator[None]:
    """The model at theta + scale x offset, and at theta again afterwards, to the bit.

    The weights come back from a copy: adding and subtracting would round them in bf16.
    """
    with preserve_weights(model), torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.add_(offset[name] * scale)
        with torch.enable_grad():
            yield


@contextmanager
def preserve_weights(model: nn.Module) -> Iterator[None]:
    """Whatever happens to the weights inside, afterwards they are what they were, to the bit."""
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
    return torch.stack([torch.linalg.vector_norm(_wide(g)) for g in gradient.values()]).norm()


def inner_product(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Tensor:
    """Scalar product over all parameters together."""
    return torch.stack([(_wide(g) * second[name]).sum() for name, g in first.items()]).sum()


def _wide(tensor: Tensor) -> Tensor:
    """In float32 at least: a sum over all weights is beyond bf16."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def combine_gradients(*terms: tuple[float | Tensor, Mapping[str, Tensor]]) -> Gradient:
    """The sum of scale x gradient, of gradients over the same parameters."""
    names = terms[0][1].keys()
    return {name: add_in_order([scale * g[name] for scale, g in terms]) for name in names}


def add_in_order(tensors: list[Tensor]) -> Tensor:
    """Their sum, added up in their order."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
