"""Short trainings under TAR and MLAC; two processes share them as a script: `... FOLDER`."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from rebar.config.safeguard import Safeguard
from rebar.safeguards import mlac, tar
from rebar.training import distributed
from rebar.training.batches import Batch
from rebar.training.safeguarded import Part, SafeguardedTraining, State
from rebar.training.train import TrainResult, train
from tests.model.tiny import recorder, rows, settings, tiny_llama

TAR = {"method": "tar", "inner_steps": 4, "learning_rates": (1e-3, 3e-3)}
CASES: dict[str, tuple[Any, Any]] = {
    "tar_entropy": (tar, TAR | {"tasks": 2, "switch_share": 1.0}),
    "tar_dpo": (tar, TAR | {"tamper_loss": "dpo"}),
    "tar_mapping": (tar, TAR | {"random_mapping_share": 0.5}),
    "mlac": (mlac, {"method": "mlac", "inner_steps": 2}),
}


def batch_at(step: int, seed: int = 3) -> Batch:
    return Batch(*rows(num_rows=4, seed=seed + step))


def more(step: int, kind: str, number: int) -> Batch:
    return batch_at(step, {"harmful": 100, "refusal": 300, "benign": 500}[kind] + 17 * number)


def safeguard(
    name: str, model: nn.Module, changes: dict[str, Any] | None = None, **setting
) -> SafeguardedTraining:
    module, values = CASES[name]
    config = module.Config(**values | (changes or {}))
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    part = Part(module.gradient, config, State(seed=5, reference=frozen))
    training = settings(steps=1)
    whole = Safeguard(acts_in="own_stage", parts=[config], training=training, **setting)
    return SafeguardedTraining(whole, [part], more)


def run(name: str, model: nn.Module, folder: Path, processes: int = 1, **changes) -> TrainResult:
    """Train in place; weights go to the folder too."""
    plan = settings(steps=3, processes_per_node=processes, **changes)
    guard = safeguard(name, model)
    keep = folder if changes.get("checkpoint_every_steps") else None
    result = train(model, batch_at, plan, recorder(folder), checkpoint_folder=keep, safeguard=guard)
    save_file({n: p.detach() for n, p in model.named_parameters()}, folder / "end")
    return result


if __name__ == "__main__":
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    distributed.join_group()
    leave, distributed.leave_group = distributed.leave_group, lambda: None
    for name in CASES:
        folder = root / name / str(distributed.is_first_process())
        folder.mkdir(parents=True)
        run(name, tiny_llama(deviation=0.1), folder, processes=2)
    leave()
