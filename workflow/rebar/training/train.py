"""The training loop of all trainings: pretraining, alignment, safeguards and attacks.

They differ in data, loss and settings. AdamW or SGD with linear warm-up and a schedule; float32
weights, forward pass in autocast. A run that is killed at any moment and started again ends with
the same bits; at the checkpoint signal it saves and exits. Several processes share each batch. If
memory runs out, batches are computed in more parts from then on; this is printed, logged and noted
in the manifest, because it changes the last bits. Times are returned, never written to files of
results.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from rebar.config.model import Training
from rebar.jobs import checkpoint_signal
from rebar.jobs.recorder import Recorder
from rebar.model.device import make_deterministic
from rebar.model.forward import language_loss
from rebar.training import distributed
from rebar.training.checkpoints import (
    checkpoint_parts,
    fingerprint,
    load_checkpoint,
    newest_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
    trained_parameters,
)
from rebar.training.compilation import compile_alone
from rebar.training.gradients import AnyBatch, set_gradients
from rebar.training.memory import is_out_of_memory, split_further
from rebar.training.safeguarded import SafeguardedTraining

LOG_EVERY_STEPS = 10


class TrainResult(NamedTuple):
    """What a training did; the times are this process's and belong in costs.json only."""

    steps: int  # optimiser steps of the model, including those before a resume
    loss: float  # mean over the last logged steps; nan if this process took none
    resumed_at: int
    seconds: float
    first_step_seconds: float  # mostly compilation
    tokens_per_second: float  # without the first step; 0 if there was no other
    facts: dict[str, int]  # for the manifest: what memory forced the run to change

    @property
    def costs(self) -> dict[str, float]:
        """Seconds for costs.json; what the first step takes is mostly compilation."""
        return {"train_seconds": self.seconds, "first_step_seconds": self.first_step_seconds}


def train(
    model: nn.Module,
    batch_at: Callable[[int], AnyBatch],
    settings: Training,
    recorder: Recorder,
    *,
    checkpoint_folder: Path | None = None,
    loss: Callable[..., Tensor] = language_loss,
    until: Callable[[int, nn.Module], bool] | None = None,
    until_every: int = 10,
    identity: str = "",
    safeguard: SafeguardedTraining | None = None,
) -> TrainResult:
    """Train `model` in place, on the device where it is.

    `batch_at(step)` depends on the step only; `loss(model, *batch)` is a scalar. `until(steps done,
    model)` is called every `until_every` steps and ends the run by returning True. `safeguard`
    replaces the gradient in the steps in which its strength is above 0.

    A checkpoint is resumed only by the run that wrote it: same settings, start weights, data and
    `identity` (whatever else the result depends on). Without a `checkpoint_folder` the checkpoint
    signal has no effect. With several processes only the first one returns.

    Raises ValueError if loss or gradient are not finite or if a single row does not fit into
    memory, and SystemExit after the checkpoint signal, once the state is saved.
    """
    clock, configured_parts = _Clock(), settings.gradient_accumulation
    _set_up(settings, recorder)
    name = _fingerprint(model, batch_at, settings, identity) if checkpoint_folder else ""
    optimizer, log = build_optimizer(model, settings), _Log(settings, recorder, safeguard)
    run = _Run(checkpoint_folder, name, model, optimizer, log, safeguard)
    with checkpoint_signal.note_signal():
        start, settings = run.resume(settings)
        # dynamic=False: all batches have one shape, and kernels for one shape are faster.
        step_loss = torch.compile(loss, dynamic=False) if settings.compile else loss
        done = start
        for step in range(start, settings.steps):
            model.train()  # `until` may have left the model in eval mode
            batch = batch_at(step)
            with compile_alone() if settings.compile and step == start else nullcontext():
                mean_loss, settings = run.compute_gradients(batch, settings, step_loss, step)
            norm = update(optimizer, learning_rate(step, settings), settings.gradient_clip)
            done = step + 1
            clock.tick()
            log.add(done, mean_loss, norm)
            recorder.progress(done, settings.steps, "steps")
            if until is not None and done % until_every == 0 and until(done, model):
                break
            run.save_if_due(done, settings)
    log.write()
    parts = settings.gradient_accumulation
    facts = {"gradient_accumulation": parts} if parts != configured_parts else {}
    distributed.leave_group()
    model.eval()
    return TrainResult(done, log.loss, start, *clock.read(settings.tokens_per_step), facts)


def learning_rate(step: int, settings: Training) -> float:
    """Learning rate in the 0-based `step`: linear warm-up, then the schedule down to its floor."""
    warmup = max(1, round(settings.steps * settings.warmup_fraction))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - warmup + 1) / (settings.steps - warmup)
    floor = settings.final_learning_rate_fraction
    left = 1 - done if settings.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return settings.learning_rate * (floor + (1 - floor) * left)


def build_optimizer(model: nn.Module, settings: Training) -> Optimizer:
    """Build fused AdamW, or SGD with momentum; vectors (norms, biases) have no weight decay."""
    parameters = list(trained_parameters(model).values())
    # Decay on norms and biases would only shrink scales (as in GPT-3, Brown et al. 2020).
    matrices = [p for p in parameters if p.dim() > 1]
    vectors = [p for p in parameters if p.dim() < 2]
    pairs = [(matrices, settings.weight_decay), (vectors, 0.0)]
    groups = [{"params": params, "weight_decay": decay} for params, decay in pairs if params]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def _choose_gradients(
    safeguard: SafeguardedTraining | None, step: int, steps: int
) -> Callable[..., Tensor]:
    """The function that stores the step's direction in `.grad`: plain, or the safeguard's."""
    if safeguard is not None and safeguard.strength(step, steps):
        return partial(safeguard.set_gradients, step=step)
    return set_gradients


def update(optimizer: Optimizer, rate: float, gradient_clip: float) -> Tensor:
    """Do one optimiser step with the gradients in `.grad`, clear them, and return their norm."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    # Clipping also returns the norm before clipping, which is logged.
    norm = nn.utils.clip_grad_norm_(parameters, gradient_clip, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _set_up(settings: Training, recorder: Recorder) -> None:
    """Join the other processes and make torch deterministic; only the first process logs."""
    distributed.join_group()
    if not distributed.is_first_process():
        recorder.mute()
    # The number of threads decides the order of sums, and with it the last bits.
    torch.set_num_threads(settings.threads)
    make_deterministic()


def _fingerprint(
    model: nn.Module, batch_at: Callable[[int], AnyBatch], settings: Training, identity: str
) -> str:
    """Digest of settings, start weights and two batches, so also of seed and data."""
    # The first and the last batch stand for the data: another seed, order or corpus changes them.
    steps = sorted({0, max(0, settings.steps - 1)})
    batches = [tensor for step in steps for tensor in batch_at(step)]
    return fingerprint(model, settings.model_dump_json(), identity, *batches)


class _Log:
    """Collects losses on the device and logs their means, so that no step waits for a number."""

    def __init__(
        self, settings: Training, recorder: Recorder, safeguard: SafeguardedTraining | None
    ) -> None:
        self.settings = settings
        self.recorder = recorder
        self.safeguard = safeguard
        self.loss = math.nan
        self.step = 0
        self.waiting: list[Tensor] = []  # loss and gradient norm of the steps not logged yet

    def start(self, step: int, waiting: Tensor | None) -> None:
        """Continue after `step`, with the numbers that were not logged at that time."""
        # Lines after the checkpoint belong to steps that will be done again.
        self.recorder.truncate(step)
        self.step = step
        self.waiting = list(waiting) if waiting is not None else []
        if step:
            self.recorder.say(f"resumed at step {step}")

    def add(self, step: int, mean_loss: Tensor, gradient_norm: Tensor) -> None:
        self.step = step
        self.waiting.append(torch.stack([mean_loss, gradient_norm]))
        if step % LOG_EVERY_STEPS == 0:
            self.write()

    def report_parts(self, step: int, settings: Training) -> None:
        """Report in how many parts batches are computed from this step on."""
        parts = settings.gradient_accumulation
        rows = settings.batch_size // (settings.num_processes * parts)
        self.recorder.say(f"out of memory at step {step}: from now on {rows} sequences at a time")
        self.recorder.log(step, gradient_accumulation=parts)

    def numbers(self) -> Tensor:
        """Loss and norm of the steps not logged yet, one row per step; ValueError if not finite."""
        numbers = torch.stack(self.waiting).cpu()
        first = self.step - len(numbers) + 1
        for step, (loss, norm) in enumerate(numbers.tolist(), first):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise ValueError(_describe_divergence(step, loss, norm, self.settings))
        return numbers

    def write(self) -> None:
        """Log the mean of the numbers that wait, under the last step's number."""
        if not self.waiting:
            return
        self.loss, norm = self.numbers().mean(dim=0).tolist()
        self.waiting.clear()
        rate = learning_rate(self.step - 1, self.settings)
        numbers = self.safeguard.take_numbers() if self.safeguard else {}
        own = {"loss": self.loss, "gradient_norm": norm, "learning_rate": rate}
        self.recorder.log(self.step, **own, **numbers)


class _Run(NamedTuple):
    """A training run and, if it has a folder for them, its checkpoints on the disk."""

    folder: Path | None
    name: str  # its fingerprint
    model: nn.Module
    optimizer: Optimizer
    log: _Log
    safeguard: SafeguardedTraining | None

    def resume(self, settings: Training) -> tuple[int, Training]:
        """Load the newest checkpoint; return its step (0 without one) and its settings."""
        if self.folder is None:
            self.log.start(0, None)
            return 0, settings
        # Only the first process looks: the others could see another state of a shared file system.
        newest = newest_checkpoint(self.folder, self.name) if distributed.is_first_process() else 0
        step, waiting = distributed.broadcast_from_first(newest), None
        if step:
            waiting, memory = load_checkpoint(self.folder, step, self.model, self.optimizer)
            if self.safeguard is not None:
                self.safeguard.load_memory(memory)
            parts = checkpoint_parts(self.folder, step)
            settings = settings.model_copy(update={"gradient_accumulation": parts})
        self.log.start(step, waiting)
        return step, settings

    def compute_gradients(
        self, batch: AnyBatch, settings: Training, loss: Callable[..., Tensor], step: int
    ) -> tuple[Tensor, Training]:
        """Store the step's gradients in `.grad`, in more parts each time that memory runs out.

        Returns the mean loss, and the settings with the number of parts that fits.
        """
        set_gradients = _choose_gradients(self.safeguard, step, settings.steps)
        # The step is repeated from this state, so that dropout draws the same numbers.
        state = random_state()
        while True:
            mean_loss = None
            try:
                mean_loss = set_gradients(self.model, batch, settings, loss)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler, because the exception would keep the failed step's tensors alive.
            if not distributed.any_process(mean_loss is None):
                assert mean_loss is not None
                return mean_loss, settings
            settings = split_further(settings)
            self.model.zero_grad(set_to_none=True)
            set_random_state(state)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.log.report_parts(step + 1, settings)

    def save_if_due(self, step: int, settings: Training) -> None:
        """Save a checkpoint at the steps that the settings name, and at the checkpoint signal.

        At the signal, which may reach one process only, all processes stop after the same step.
        """
        every = settings.checkpoint_every_steps
        if self.folder is None:
            return
        is_told = distributed.any_process(checkpoint_signal.has_come()) and step < settings.steps
        if is_told or (every > 0 and step % every == 0):
            waiting = self.log.numbers() if self.log.waiting else None
            if distributed.is_first_process():
                parts = settings.gradient_accumulation
                memory = self.safeguard.memory() if self.safeguard else {}
                state = (self.model, self.optimizer, self.name, waiting, parts, memory)
                save_checkpoint(self.folder, step, *state)
        if is_told:
            distributed.any_process(True)  # no process exits before the first one has saved
            self.log.recorder.say(f"told to stop: saved step {step} of {settings.steps}")
            sys.exit(checkpoint_signal.STATUS)


def _describe_divergence(step: int, loss: float, norm: float, settings: Training) -> str:
    return (
        f"training is not finite at step {step} of {settings.steps}: loss {loss}, gradient norm "
        f"{norm}. Lower learning_rate (now {settings.learning_rate}), raise warmup_fraction (now "
        f"{settings.warmup_fraction}) or set precision: float32 (now {settings.precision}); a "
        "batch whose targets are all ignored has no finite loss either"
    )


class _Clock:
    """Measures the seconds of a run; the first step, which includes compilation, is kept apart."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first_step_seconds = 0.0
        self.steps = 0

    def tick(self) -> None:
        self.steps += 1
        if self.steps == 1:
            self.first_step_seconds = time.monotonic() - self.began

    def read(self, tokens_per_step: int) -> tuple[float, float, float]:
        """Seconds in all, seconds until the end of the first step, tokens per second after it."""
        seconds = time.monotonic() - self.began
        later = max(seconds - self.first_step_seconds, 1e-9)
        rate = max(0, self.steps - 1) * tokens_per_step / later
        return seconds, self.first_step_seconds, rate
