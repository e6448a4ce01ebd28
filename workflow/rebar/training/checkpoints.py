"""Training checkpoints: one safetensors file a step, whole or absent.

A file holds what changes while training: trained weights, optimiser state, random state, and the
numbers of steps that are not logged yet. Its fingerprint names the run it belongs to, so that a
changed setting never resumes an old run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
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
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    run: str,
    waiting: Tensor | None = None,
    parts: int = 1,
    memory: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state after `step` steps and forget all but the last two.

    `parts` is in how many parts batches are computed, which memory may have raised; `memory` is
    what a safeguard keeps from step to step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": p.detach() for name, p in trained_parameters(model).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors |= {f"random.{device}": state for device, state in random_state().items()}
    if waiting is not None:
        tensors["log.waiting"] = waiting
    tensors |= {f"safeguard.{name}": tensor for name, tensor in (memory or {}).items()}
    temporary = folder / "unfinished"
    facts = {"step": str(step), "run": run, "parts": str(parts)}
    save_file(tensors, temporary, metadata=facts)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())  # a rename may survive a power cut that the content did not
    os.replace(temporary, _file(folder, step))
    for old in checkpoint_files(folder)[:-KEPT]:
        old.unlink()


def _file(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.safetensors"


def checkpoint_files(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def newest_checkpoint(folder: Path, run: str) -> int:
    """Step of the newest checkpoint of this run, 0 if there is none.

    Checkpoints of another run in the same folder (changed settings or data) are removed.
    """
    newest = 0
    for file in checkpoint_files(folder):
        with safe_open(file, framework="pt") as content:
            facts = content.metadata()
        if facts["run"] == run:
            newest = int(facts["step"])
        else:
            file.unlink()
    return newest


def checkpoint_parts(folder: Path, step: int) -> int:
    """In how many parts the run computed its batches."""
    with safe_open(_file(folder, step), framework="pt") as content:
        return int(content.metadata()["parts"])


def load_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: Optimizer
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """Set model, optimiser and random state to those of the step.

    Returns what waited to be logged, and a safeguard's memory. All tensors come to the device of
    the model, but for the random state.
    """
    parameters = trained_parameters(model)
    device = next(model.parameters()).device
    states: dict[int, dict[str, Tensor]] = {}
    random: dict[str, Tensor] = {}
    memory: dict[str, Tensor] = {}
    waiting = None
    with safe_open(_file(folder, step), framework="pt") as content:
        for key in content.keys():  # a safetensors handle, no dict
            kind, name = key.split(".", 1)
            tensor = content.get_tensor(key)
            if kind == "model":
                parameters[name].data.copy_(tensor)
            elif kind == "optimizer":
                index, field = name.split(".")
                states.setdefault(int(index), {})[field] = tensor
            elif kind == "log":
                waiting = tensor.to(device)
            elif kind == "safeguard":
                memory[name] = tensor.to(device)
            else:
                random[name] = tensor
    set_random_state(random)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    return waiting, memory


def random_state() -> dict[str, Tensor]:
    """The state of torch's random numbers, by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Go back to a state; that of a GPU means nothing where there is none."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
