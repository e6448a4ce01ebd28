"""Training checkpoints: one safetensors file a step, whole or absent.

A file holds what changes while training: trained weights, optimiser state, random state. Its
fingerprint names the run it belongs to, so that a changed setting never resumes an old run.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

KEPT = 2


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters with gradients, tied ones once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def fingerprint(model: nn.Module, *parts: str | Tensor) -> str:
    """Digest of the start weights and of whatever else makes this run itself."""
    digest = hashlib.sha256()
    for part in (*trained_parameters(model).values(), *parts):
        digest.update(part.encode() if isinstance(part, str) else _bytes(part))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def save_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: Optimizer, run: str
) -> None:
    """Write the state after `step` steps and forget all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": p.detach() for name, p in trained_parameters(model).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    temporary = folder / "unfinished"
    save_file(tensors, temporary, metadata={"step": str(step), "run": run})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())  # a rename may survive a power cut that the content did not
    os.replace(temporary, folder / f"step-{step:09d}.safetensors")
    for old in checkpoint_files(folder)[:-KEPT]:
        old.unlink()


def checkpoint_files(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def resume(folder: Path, model: nn.Module, optimizer: Optimizer, run: str) -> int:
    """Load the newest checkpoint of this run; return its step, 0 if there is none.

    Checkpoints of another run in the same folder (changed settings or data) are removed.
    """
    start = 0
    for file in checkpoint_files(folder):
        with safe_open(file, framework="pt") as content:
            facts = content.metadata()
            if facts["run"] == run:
                start = int(facts["step"])
                continue
        file.unlink()
    if start:
        _load(folder / f"step-{start:09d}.safetensors", model, optimizer)
    return start


def _load(file: Path, model: nn.Module, optimizer: Optimizer) -> None:
    parameters = trained_parameters(model)
    states: dict[int, dict[str, Tensor]] = {}
    with safe_open(file, framework="pt") as content:
        for key in content.keys():  # a safetensors handle, no dict
            kind, name = key.split(".", 1)
            tensor = content.get_tensor(key)
            if kind == "model":
                parameters[name].data.copy_(tensor)
            elif kind == "optimizer":
                index, field = name.split(".")
                states.setdefault(int(index), {})[field] = tensor
            elif name == "cpu":
                torch.set_rng_state(tensor)
            elif torch.cuda.is_available():
                torch.cuda.set_rng_state(tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
