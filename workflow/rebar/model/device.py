"""Where models lie: each process has one device."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def local_device() -> torch.device:
    """The GPU of this process, one a process of a node, or the CPU where no GPU is visible."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index, visible = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= visible:
        raise ValueError(f"process {index + 1} of this node finds no GPU: {visible} are visible")
    return torch.device("cuda", index)


def on_local_device(model: Module) -> Module:
    """The model, moved in place."""
    nn.Module.to(model, local_device())
    return model


def make_deterministic() -> None:
    """From now on the same numbers give the same bits."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for repeatable CUDA products
    torch.use_deterministic_algorithms(True)
    # A debugging aid that costs time. (torch makes the attribute where type checkers cannot see.)
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
