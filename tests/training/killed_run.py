"""A training run that is killed at a given moment: `killed_run.py FOLDER MOMENT`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from rebar.training import checkpoints
from rebar.training.batches import Batch, row_batches
from rebar.training.train import train
from tests.model.tiny import recorder, rows, settings, tiny_llama

SETTINGS = settings(steps=17, checkpoint_every_steps=3, precision="bf16")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, moment: str) -> Any:
    """Train to the end, or be killed: before step 8, in the middle of a checkpoint, or after it."""
    model = tiny_llama(deviation=0.1)
    whole = row_batches(*rows(), batch_size=4, seed=3)
    replace = os.replace

    def batch_at(step: int) -> Batch:
        if moment == "step" and step == 8:
            die()
        return whole(step)

    def killing_replace(source: Path, target: Path) -> None:
        is_twelfth = target.name == "step-000000012.safetensors"
        if moment == "before rename" and is_twelfth:
            die()
        replace(source, target)
        if moment == "after rename" and is_twelfth:
            die()

    checkpoints.os.replace = killing_replace
    try:
        result = train(model, batch_at, SETTINGS, recorder(folder), checkpoint_folder=folder)
    finally:
        checkpoints.os.replace = replace
    return model, result


if __name__ == "__main__":
    from safetensors.torch import save_file

    model, result = run(Path(sys.argv[1]), sys.argv[2])
    tensors = {name: p.detach() for name, p in model.named_parameters()}
    save_file(tensors, Path(sys.argv[1]) / "end", metadata={"resumed_at": str(result.resumed_at)})
