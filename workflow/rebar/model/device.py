"""The device of this process, and deterministic kernels."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def local_device() -> torch.device:
    """The GPU of this process, or the CPU if no GPU is visible.

    torchrun numbers the processes of a node by LOCAL_RANK; each one takes the GPU of its number.
    Raises ValueError if there are fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index, visible = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= visible:
        raise ValueError(
            f"process {index + 1} of this node has no GPU: {visible} are visible; start fewer "
            "processes per node or request more GPUs"
        )
    return torch.device("cuda", index)


def on_local_device(model: Module) -> Module:
    """Move the model to this process's device, in place, and return it."""
    nn.Module.to(model, local_device())
    return model


def make_deterministic() -> None:
    """Make torch deterministic: equal inputs give equal bits on the same kind of machine."""
    # cuBLAS is deterministic only with a fixed workspace (PyTorch notes on reproducibility).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling new memory with NaN is a debugging aid that costs time. setattr, because type checkers
    # do not see this attribute.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
