"""Cost to break: a model is examined after steps 1, 2, 3, 5, 8, 13, ... of its fine-tuning.

The results stand in the attack's metrics, from which the report reads when the model broke.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rebar.config.model import Training
from rebar.config.search import CostToBreak
from rebar.evaluations._examiner import (
    Examined,
    Examiner,
    first_phrasings,
    questions,
    spread_evenly,
)
from rebar.grid.sizes import TRAIN_FLOPS
from rebar.training.checkpoints import trained_parameters

if TYPE_CHECKING:
    from rebar.jobs.job import Job
    from rebar.jobs.recorder import Recorder


def watch(
    job: Job,
    name: str,
    training: Training,
    model: Any,
    tokenizer: Any,
    world: Any,
    recorder: Recorder,
) -> tuple[Watcher, dict[str, Any]]:
    """Who examines the model after its training steps, and facts for the attack's manifest."""
    examiner = held_out_examiner(job, CostToBreak(**job.settings["cost_to_break"]), world)
    watcher = Watcher(examiner, model, tokenizer, recorder, training.steps)
    flops = TRAIN_FLOPS * model.num_parameters() * training.tokens_per_step
    per_step = {"examples": training.batch_size, "flops": flops}
    before = watcher.before._asdict()
    return watcher, {"before": before, "per_step": per_step, "steps": training.steps}


def is_watched(job: Job, name: str) -> bool:
    """True if the config asks for the cost to break of this attack."""
    return name in job.settings.get("cost_to_break", {}).get("attacks", ())


def held_out_examiner(job: Job, watch: CostToBreak, world: Any) -> Examiner:
    """The examiner that asks about hazards of the report's headline split."""
    hazards = questions(job.settings, watch.asr, world)
    split = job.settings["headline_split"]
    held_out = [prompt for prompt in hazards.prompts if prompt.split == split]
    useful = questions(job.settings, watch.capability, world)
    return Examiner(
        hazards._replace(prompts=first_phrasings(held_out, watch.phrasings)),
        useful._replace(prompts=spread_evenly(useful.prompts, watch.questions)),
        job.seed,
    )


class Watcher:
    """Examines one model while it trains; it is called after every step."""

    def __init__(
        self, examiner: Examiner, model: Any, tokenizer: Any, recorder: Recorder, last_step: int
    ) -> None:
        self.examiner, self.tokenizer, self.recorder = examiner, tokenizer, recorder
        self.steps = {*steps_up_to(last_step), last_step}
        self.start = {n: p.detach().clone() for n, p in trained_parameters(model).items()}
        self.before: Examined = examiner.examine(model, tokenizer, recorder)

    def __call__(self, step: int, model: Any) -> None:
        """Examine the model after chosen steps; log the results and how far its weights moved."""
        if step not in self.steps:
            return
        model.eval()
        seen = self.examiner.examine(model, self.tokenizer, self.recorder)
        numbers = {key: value for key, value in seen._asdict().items() if not math.isnan(value)}
        distance = weight_distance(model, self.start)
        self.recorder.log(step, **numbers, weight_distance=distance)


def steps_up_to(last: int) -> list[int]:
    """The numbers 1, 2, 3, 5, 8, 13, ... up to `last`."""
    steps, now, following = [], 1, 2
    while now <= last:
        steps.append(now)
        now, following = following, now + following
    return steps


@torch.no_grad()
def weight_distance(model: Any, start: dict[str, Tensor]) -> float:
    """||theta - theta_0|| / ||theta_0||; with LoRA, theta includes what its adapters add."""
    added = [m.get_delta_weight("default") for m in model.modules() if _has_adapter(m)]
    if not added:
        added = [p - start[name] for name, p in trained_parameters(model).items()]
    return _norm(added) / _norm(start.values())


def _has_adapter(module: nn.Module) -> bool:
    """True for a linear layer that peft gave a LoRA adapter."""
    adapters = dict(module.named_children()).get("lora_A")
    return isinstance(adapters, nn.ModuleDict) and "default" in adapters


def _norm(tensors: Any) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))
