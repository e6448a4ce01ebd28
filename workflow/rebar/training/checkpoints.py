"""Training checkpoints: one safetensors file per step, which is either complete or absent.

A file holds everything that changes during training: trained weights, optimiser state, random
state, a safeguard's memory, and the numbers of steps that are not logged yet. It also holds the
fingerprint of its run, so that a run with changed settings never resumes another run's checkpoint.
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

NUM_KEPT = 2  # checkpoints that stay on disk; the second is a spare


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that are trained, by name; tied parameters occur once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def fingerprint(model: nn.Module, *parts: str | Tensor) -> str:
    """SHA-256 digest of the start weights and of everything else that determines this run."""
    digest = hashlib.sha256()
    # Frozen weights are not hashed: `identity`, one of the parts, covers what they depend on.
    for part in (*trained_parameters(model).values(), *parts):
        digest.update(part.encode() if isinstance(part, str) else _bytes(part))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    # As bytes, because numpy has no bfloat16.
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    run: str,
    unlogged: Tensor | None = None,
    num_parts: int = 1,
    memory: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state after `step` steps, and delete all but the two newest checkpoints.

    `unlogged` holds loss and gradient norm of steps not logged yet. `num_parts` is the number of
    parts in which batches are computed, which grows if memory runs out. `memory` is what a
    safeguard keeps from step to step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": p.detach() for name, p in trained_parameters(model).items()}
    # safetensors stores a flat dictionary, so the optimiser's nested state gets dotted names.
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors |= {f"random.{device}": state for device, state in random_state().items()}
    if unlogged is not None:
        tensors["log.waiting"] = unlogged
    tensors |= {f"safeguard.{name}": tensor for name, tensor in (memory or {}).items()}
    # Write under another name, then rename: a kill during the write leaves no broken checkpoint.
    temporary = folder / "unfinished"
    facts = {"step": str(step), "run": run, "parts": str(num_parts)}
    save_file(tensors, temporary, metadata=facts)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())  # else a power cut may keep the rename but lose the content
    os.replace(temporary, _file(folder, step))
    for old in checkpoint_files(folder)[:-NUM_KEPT]:
        old.unlink()


def _file(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.safetensors"


def checkpoint_files(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def newest_checkpoint(folder: Path, run: str) -> int:
    """Step of this run's newest checkpoint; 0 if there is none.

    Checkpoints of other runs in the folder (with other settings or data) are deleted.
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
    """The number of parts in which the run computed its batches.

    A resumed run must use the same number, because another one changes the last bits of the sums.
    """
    with safe_open(_file(folder, step), framework="pt") as content:
        return int(content.metadata()["parts"])


def load_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: Optimizer
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """Load a step's model weights, optimiser state and random state in place.

    Returns the numbers that were not logged yet, and a safeguard's memory. All tensors are moved to
    the model's device except for the random state, which torch keeps on the CPU.
    """
    parameters = trained_parameters(model)
    device = next(model.parameters()).device
    states: dict[int, dict[str, Tensor]] = {}
    random: dict[str, Tensor] = {}
    memory: dict[str, Tensor] = {}
    unlogged = None
    with safe_open(_file(folder, step), framework="pt") as content:
        for key in content.keys():  # a safetensors handle is not a dict
            kind, name = key.split(".", 1)
            tensor = content.get_tensor(key)
            if kind == "model":
                parameters[name].data.copy_(tensor)
            elif kind == "optimizer":
                index, field = name.split(".")
                states.setdefault(int(index), {})[field] = tensor
            elif kind == "log":
                unlogged = tensor.to(device)
            elif kind == "safeguard":
                memory[name] = tensor.to(device)
            else:
                random[name] = tensor
    set_random_state(random)
    # The groups hold settings only, and those of this run are equal: the fingerprint says so.
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    return unlogged, memory


def random_state() -> dict[str, Tensor]:
    """State of torch's random number generators, by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Restore the random state; the state of a GPU is ignored on a machine without one."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
