"""Training in several processes: NCCL between GPUs, gloo between CPUs, nothing for one process.

All processes hold the same model and see the same batches. Each computes its share of the rows, and
the gradients are summed. Only the first process (rank 0) writes, logs, and continues after
training.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rebar.model.device import local_device
from rebar.training.checkpoints import trained_parameters

BUCKET_NUMBERS = 2**25  # gradient values per message: few messages, little extra memory
LONGEST_SAVE = timedelta(hours=12)  # how long the other processes wait for the first one
_FINISHED = "the first process has finished"
Part = TypeVar("Part")


def join_group() -> None:
    """Join the other processes of this run, if torchrun started several."""
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        return
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave_group() -> None:
    """Leave the group after training: the first process continues alone, the others wait and exit.

    They wait until the first process ends, because the launchers of several nodes abort a run if
    one node ends early.
    """
    if not dist.is_initialized():
        return
    goes_on = is_first_process()
    # The group ends here, so that later work of the first process cannot wait for the others.
    dist.destroy_process_group()
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # pyright does not see that torch exports TCPStore.
    store = dist.TCPStore(address, port, is_master=False)  # pyright: ignore[reportPrivateImportUsage]
    if not goes_on:
        store.wait([_FINISHED], LONGEST_SAVE)
        sys.exit(0)
    atexit.register(store.set, _FINISHED, "")


def is_first_process() -> bool:
    """Whether this is the process (rank 0) that writes and logs."""
    return not dist.is_initialized() or dist.get_rank() == 0


def num_processes() -> int:
    """Number of processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_share(parts: Sequence[Part]) -> Sequence[Part]:
    """This process's share of a sequence of equal parts; the shares are consecutive."""
    each = len(parts) // num_processes()
    start = dist.get_rank() * each if dist.is_initialized() else 0
    return parts[start : start + each]


def sum_over_processes(share: Tensor) -> Tensor:
    """Sum a tensor over all processes, in place, and return it."""
    if dist.is_initialized():
        dist.all_reduce(share)
    return share


def all_reduce_gradients(model: nn.Module) -> None:
    """Sum `.grad` over all processes, in place; a missing gradient counts as zero."""
    if not dist.is_initialized():
        return
    # One message per bucket instead of one per parameter: a message costs more than its content.
    for bucket in _buckets(list(trained_parameters(model).values())):
        # Every process must send the same shapes, also for parameters that its rows did not touch.
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        flat = sum_over_processes(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = flat.split([p.numel() for p in bucket])
        for parameter, part in zip(bucket, parts, strict=True):
            parameter.grad = part.view_as(parameter)


def _buckets(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Group the parameters into buckets of at most BUCKET_NUMBERS values, in their order."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and sum(p.numel() for p in bucket) + parameter.numel() > BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def any_process(is_so: bool) -> bool:
    """Whether the condition holds in at least one process; all processes meet here."""
    if not dist.is_initialized():
        return is_so
    return bool(sum_over_processes(torch.tensor(int(is_so), device=local_device())))


def broadcast_from_first(number: int) -> int:
    """The first process's number, in all processes."""
    if not dist.is_initialized():
        return number
    told = torch.tensor(number, device=local_device())
    dist.broadcast(told, src=0)
    return int(told)
