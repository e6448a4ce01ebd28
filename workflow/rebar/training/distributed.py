"""Training as several processes: NCCL between GPUs, gloo between CPUs, nothing for one process.

All processes hold the same model and see the same batches; each computes its rows, and gradients
are added up. The first process (rank 0) alone writes, prints and goes on after training.
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

BUCKET_NUMBERS = 2**25  # gradients sent in one message: few messages, little memory beside
LONGEST_SAVE = timedelta(hours=12)
_FINISHED = "the first process has finished"
Part = TypeVar("Part")


def join_group() -> None:
    """Meet the other processes of this run, where the launcher has started several."""
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        return
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave_group() -> None:
    """Part after training: the first process goes on alone, the others wait for its end and exit.

    They wait because the launchers of several nodes give up a run whose nodes end at other times.
    """
    if not dist.is_initialized():
        return
    goes_on = is_first_process()
    dist.destroy_process_group()
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # torch exports it, but not by name.
    store = dist.TCPStore(address, port, is_master=False)  # pyright: ignore[reportPrivateImportUsage]
    if not goes_on:
        store.wait([_FINISHED], LONGEST_SAVE)
        sys.exit(0)
    atexit.register(store.set, _FINISHED, "")


def is_first_process() -> bool:
    """Whether this process is the one that writes and tells."""
    return not dist.is_initialized() or dist.get_rank() == 0


def num_processes() -> int:
    """Processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_share(parts: Sequence[Part]) -> Sequence[Part]:
    """This process's share of equal parts: neighbours."""
    each = len(parts) // num_processes()
    start = dist.get_rank() * each if dist.is_initialized() else 0
    return parts[start : start + each]


def sum_over_processes(share: Tensor) -> Tensor:
    """The sum of all processes' shares."""
    if dist.is_initialized():
        dist.all_reduce(share)
    return share


def all_reduce_gradients(model: nn.Module) -> None:
    """Add up `.grad` of all processes, in place; a gradient that a process lacks counts as 0."""
    if not dist.is_initialized():
        return
    for bucket in _buckets(list(trained_parameters(model).values())):
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        flat = sum_over_processes(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = flat.split([p.numel() for p in bucket])
        for parameter, part in zip(bucket, parts, strict=True):
            parameter.grad = part.view_as(parameter)


def _buckets(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and sum(p.numel() for p in bucket) + parameter.numel() > BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def any_process(is_so: bool) -> bool:
    """Whether it is so in one of the processes; all wait for each other here."""
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
