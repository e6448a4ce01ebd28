"""Tiny trainings under every safeguard, in one process or in two.

`torch.distributed.run ... runs.py FOLDER` trains each in both processes.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from rebar.config.plugins import plugin_module, plugin_names
from rebar.config.safeguard import Safeguard
from rebar.training import distributed
from rebar.training.batches import Batch, row_batches
from rebar.training.safeguarded import Part, SafeguardedTraining, State
from rebar.training.train import train
from tests.model.tiny import recorder, rows, settings, tiny_llama

METHODS = plugin_names("safeguards")
KINDS = ("harmful", "refusal", "benign")
STEPS = 8
# What a file needs beside its method, chosen so that every one of its terms acts.
NEEDED: dict[str, dict[str, Any]] = {
    "constrained": {
        "constraints": [
            {"kind": "refusal", "bound": 1.0},
            {"kind": "harmful", "bound": 9.0, "start": 0.25},
            {"kind": "tamper", "bound": 9.0, "start": 0.5},
        ],
        "every": 2,
    },
    "mlac": {"inner_steps": 3},
    "tar": {"inner_steps": 4, "switch_share": 0.5},
}


def batch_at(step: int) -> Batch:
    return row_batches(*rows(num_rows=24), batch_size=4, seed=3)(step)


def more(step: int, kind: str, number: int) -> Batch:
    columns = rows(num_rows=24, seed=20 + KINDS.index(kind))
    return row_batches(*columns, batch_size=4, seed=100 + number)(step)


def config(method: str, **changes: Any) -> Any:
    values = {"method": method, **NEEDED.get(method, {}), **changes}
    return plugin_module("safeguards", method).Config(**values)


def start() -> nn.Module:
    """What every run begins with."""
    return tiny_llama(deviation=0.1)


def part(setting: Any, model: nn.Module) -> Part:
    """A method with a state of its own, and with the model as it is now where it reads that."""
    state = State(seed=5)
    if getattr(type(setting), "reads_reference", False):
        state.reference = copy.deepcopy(model).eval().requires_grad_(False)
    return Part(plugin_module("safeguards", setting.method).gradient, setting, state)


def safeguarded(model: nn.Module, *settings_of_parts: Any, **changes: Any) -> SafeguardedTraining:
    setting = Safeguard(acts_in="alignment", parts=list(settings_of_parts), **changes)
    return SafeguardedTraining(setting, [part(each, model) for each in settings_of_parts], more)


def run(
    folder: Path,
    method: str,
    *,
    batches: Callable[[int], Batch] = batch_at,
    strength: float = 1.0,
    **changes: Any,
) -> tuple[nn.Module, SafeguardedTraining]:
    """Train a tiny model under one method; metrics and checkpoints go to the folder."""
    folder.mkdir(exist_ok=True, parents=True)
    model = start()
    guard = safeguarded(model, config(method), strength=strength)
    plan = settings(**{"steps": STEPS, "optimizer": "sgd", **changes})
    train(model, batches, plan, recorder(folder), checkpoint_folder=folder, safeguard=guard)
    return model, guard


def save(model: nn.Module, guard: SafeguardedTraining, file: Path) -> None:
    """Weights and what the safeguard remembers."""
    tensors = {f"model.{name}": p.detach().contiguous() for name, p in model.named_parameters()}
    memory = {f"memory.{name}": tensor.contiguous() for name, tensor in guard.memory().items()}
    save_file(tensors | memory, file)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    distributed.join_group()
    leave, distributed.leave_group = distributed.leave_group, lambda: None
    for name in METHODS:
        ended = run(root / name / str(distributed.is_first_process()), name, processes_per_node=2)
        save(*ended, root / name / str(distributed.is_first_process()) / "end")
    leave()
