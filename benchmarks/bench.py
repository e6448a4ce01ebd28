"""Run all benchmarks and write results/bench.json.

The file is a list of rows {name, ours, peer, ratio, unit, note}. This module also holds one
benchmark: our pretraining loop against the Hugging Face Trainer with the same model, data, batch,
dtype and threads. The contestants take turns in one process, so that a busy machine slows down all
of them. The first steps of a turn (compilation, warm-up) do not count; a speed is the median over
the counted steps of all turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import Dataset
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.demo_share import share_row
from benchmarks.dry_run import dry_run_rows
from benchmarks.rows import format_row, make_row
from benchmarks.slurm_jobs import slurm_rows
from benchmarks.stacked_trials import stacked_rows
from rebar.config.model import Model, Training
from rebar.jobs.recorder import Recorder
from rebar.training.batches import Batch
from rebar.training.train import train

VOCABULARY, BATCH, LENGTH = 512, 16, 128  # the demo's model and batch
TURNS, STEPS, UNCOUNTED_STEPS = 6, 16, 4
RESULT = Path(__file__).parent.parent / "results" / "bench.json"


class Texts(Dataset[dict[str, torch.Tensor]]):
    """Random tokens: the speed does not depend on their meaning."""

    def __init__(self, length: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (STEPS * BATCH, length)
        self.rows_NT = torch.randint(0, VOCABULARY, shape, generator=generator)

    def __len__(self) -> int:
        return len(self.rows_NT)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.rows_NT[index], "labels": self.rows_NT[index]}


class StepEnds(TrainerCallback):
    """Records when each step of the Trainer ended."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def on_step_end(self, *args: Any, **options: Any) -> None:
        """Record the time."""
        self.stamps.append(time.perf_counter())


def fresh_model() -> LlamaForCausalLM:
    """Build the demo's model with random weights, 0.67 M parameters."""
    torch.manual_seed(0)
    shape = Model()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.feed_forward_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def run_ours(folder: Path) -> list[float]:
    """Run our loop as the demo does, compiled and in bf16; return when each step ended."""
    rows_NT = Texts(LENGTH + 1).rows_NT
    starts: list[float] = []

    def batch_at(step: int) -> Batch:
        starts.append(time.perf_counter())
        rows = rows_NT[step * BATCH : (step + 1) * BATCH]
        return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())

    settings = Training(
        steps=STEPS, batch_size=BATCH, sequence_length=LENGTH, learning_rate=4e-3, weight_decay=0.1
    )
    train(fresh_model(), batch_at, settings, Recorder(folder, "ours"))
    return starts[1:]  # a batch is requested when the previous step has ended


def run_trainer(folder: Path, *, torch_compile: bool) -> list[float]:
    """Run Trainer with bf16 and otherwise its defaults; return the end of each step in seconds."""
    torch.use_deterministic_algorithms(False)  # our loop turns it on; Trainer's default is off
    ends = StepEnds()
    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=BATCH,
        max_steps=STEPS,
        use_cpu=True,
        bf16=True,
        torch_compile=torch_compile,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    Trainer(fresh_model(), arguments, train_dataset=Texts(LENGTH), callbacks=[ends]).train()
    return ends.stamps


def seconds_per_step() -> dict[str, list[float]]:
    """Seconds of the counted steps of all turns, by contestant."""
    contestants = {
        "ours": run_ours,
        "trainer": partial(run_trainer, torch_compile=False),
        "trainer_compiled": partial(run_trainer, torch_compile=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(TURNS):
            for name, run in contestants.items():
                stamps = run(Path(folder))
                steps = [end - start for start, end in pairwise(stamps)]
                seconds[name] += steps[UNCOUNTED_STEPS - 1 :]
                speed = BATCH * LENGTH / statistics.median(seconds[name])
                print(f"turn {turn + 1}/{TURNS}: {name} {speed:.0f} tokens/s", file=sys.stderr)
    return seconds


def speed_rows() -> list[dict[str, Any]]:
    """The two rows of pretraining speed, without and with a compiled Trainer."""
    seconds = seconds_per_step()
    speeds = {name: BATCH * LENGTH / statistics.median(s) for name, s in seconds.items()}
    names = {
        "pretrain_tokens_per_s_v_trainer": ("trainer", "Trainer defaults with bf16"),
        "pretrain_tokens_per_s_v_trainer_compiled": (
            "trainer_compiled",
            "Trainer defaults with bf16 and torch_compile",
        ),
    }
    return [
        make_row(
            name,
            round(speeds["ours"]),
            round(speeds[peer]),
            "tokens/s",
            f"peer: {what}; {describe_conditions(seconds)}",
        )
        for name, (peer, what) in names.items()
    ]


def describe_conditions(seconds: dict[str, list[float]]) -> str:
    """What was compared, and on which machine."""
    spreads = ", ".join(f"{name} {format_spread(s)}" for name, s in seconds.items())
    parameters = sum(p.numel() for p in fresh_model().parameters())
    return (
        f"Llama with {parameters / 1e6:.2f} M parameters, vocabulary {VOCABULARY}, batch {BATCH} x "
        f"{LENGTH}, bf16, {torch.get_num_threads()} thread; median of {len(seconds['ours'])} steps "
        f"in {TURNS} turns, quartiles in ms: {spreads}; torch {torch.__version__}, transformers "
        f"{transformers.__version__}, {platform.machine()}"
    )


def format_spread(seconds: list[float]) -> str:
    """Lower and upper quartile in milliseconds."""
    low, _, high = statistics.quantiles(seconds, n=4)
    return f"{low * 1000:.0f}-{high * 1000:.0f}"


def main() -> None:
    """Run all benchmarks, write the file and print the rows."""
    argparse.ArgumentParser(description=__doc__).parse_args()  # --help must not run for minutes
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    demo = RESULT.parent / "demo"
    rows = [share_row(demo)] if demo.exists() else []
    rows += [*dry_run_rows(), *slurm_rows(), *stacked_rows(), *speed_rows()]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print("\n".join(map(format_row, rows)))


if __name__ == "__main__":
    main()
