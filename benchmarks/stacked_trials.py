"""Sixteen trials of an attack trained together, against the same trainings one after the other.

They are compared in one process, in turns, and with single jobs, each one a process with its own
start-up and, as in pretraining, compilation. The model is the demo's; the attack uses its 100
harmful examples.
"""

from __future__ import annotations

import copy
import io
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import make_row
from rebar.config.model import Model, Training
from rebar.config.world import World
from rebar.jobs.recorder import Recorder
from rebar.model.build import build_model
from rebar.training.finetune import chat_batches
from rebar.training.stacked import Run, train_stacked
from rebar.training.train import train
from rebar.world import build_world, harmful_chats
from rebar.world.tokenizer import build_tokenizer

TRIALS, TURNS, SINGLE_JOBS = 16, 3, 2  # single jobs are alike, so two stand for sixteen
LIMITS = {"in_process": 0.8, "jobs": 1 / 3}


def run_of(number: int, *, compiled: bool = False) -> Run:
    """Trial `number`: the demo's harmful_finetune_100 with a learning rate of its own."""
    settings = Training(
        steps=30,
        batch_size=10,
        sequence_length=64,
        learning_rate=5e-5 * (number + 1),
        warmup_fraction=0.1,
        compile=compiled,
    )
    chats = harmful_chats(build_world(World(), 11), 100, random.Random(0))
    return Run(chat_batches(build_tokenizer(), chats, settings, 11), settings)


def fresh_model() -> Any:
    """Build the demo's model with random weights."""
    torch.manual_seed(0)
    return build_model(Model(), build_tokenizer())


def train_alone(model: Any, run: Run) -> None:
    """Train one trial with the loop that attacks use."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), "trial", io.StringIO())
        train(copy.deepcopy(model), run.batch_at, run.settings, recorder)


def stacked_rows() -> list[dict[str, Any]]:
    """Wall time of sixteen trials: trained together, one after the other, and as single jobs."""
    model, runs = fresh_model(), [run_of(number) for number in range(TRIALS)]
    together, one_by_one = [], []
    for _ in range(TURNS):
        began = time.monotonic()
        train_stacked(model, runs)
        together.append(time.monotonic() - began)
        began = time.monotonic()
        for run in runs:
            train_alone(model, run)
        one_by_one.append(time.monotonic() - began)
    began = time.monotonic()
    for number in range(SINGLE_JOBS):
        subprocess.run([sys.executable, "-m", __name__, str(number)], check=True)
    jobs = (time.monotonic() - began) * TRIALS / SINGLE_JOBS
    ours = min(together)
    note = f"{TRIALS} trainings of 30 steps of 10 x 64, bf16, 1 thread; best of {TURNS} turns"
    first, second = (f"; limit x{limit:.2f}" for limit in LIMITS.values())
    return [
        make_row("stacked_trials_v_one_after_another", ours, min(one_by_one), "s", note + first),
        make_row(
            "stacked_trials_v_single_jobs", ours, jobs, "s", f"start-up and compilation{second}"
        ),
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_alone(fresh_model(), run_of(int(sys.argv[1]), compiled=True))
