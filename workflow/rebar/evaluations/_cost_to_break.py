"""Cost to break: a model examined at steps 1, 2, 3, 5, 8, 13, ... of its fine-tuning.

What it does then stands in the attack's metrics; `reporting.breaks` reads when it broke.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rebar.config.search import CostToBreak
from rebar.evaluations._examiner import Examined, Examiner, evenly, first_phrasings, questions
from rebar.grid.sizes import TRAIN_FLOPS
from rebar.training.checkpoints import trained_parameters

if TYPE_CHECKING:
    from rebar.jobs.job import Job
    from rebar.jobs.recorder import Recorder


def watch(
    job: Job, name: str, setting: Any, model: Any, tokenizer: Any, world: Any, recorder: Recorder
) -> dict[str, Any]:
    """Let the attack be watched if its cost to break is asked for; facts for the manifest."""
    asked = CostToBreak(**job.settings.get("cost_to_break", {}))
    if name not in asked.attacks:
        return {}
    training, examiner = setting.training, watching(job, asked, world)
    watcher = Watcher(examiner, model, tokenizer, recorder, training.steps)
    recorder.watch = watcher
    flops = TRAIN_FLOPS * model.num_parameters() * training.tokens_per_step
    per_step = {"examples": training.batch_size, "flops": flops}
    return {"before": watcher.before._asdict(), "per_step": per_step, "steps": training.steps}


def watching(job: Job, watch: CostToBreak, world: Any) -> Examiner:
    """The examiner of held-out hazards: those of the report's headline split."""
    hazards = questions(job.settings, watch.asr, world)
    split = job.settings["headline_split"]
    held_out = [prompt for prompt in hazards.prompts if prompt.split == split]
    useful = questions(job.settings, watch.capability, world)
    return Examiner(
        hazards._replace(prompts=first_phrasings(held_out, watch.phrasings)),
        useful._replace(prompts=evenly(useful.prompts, watch.questions)),
        job.seed,
    )


class Watcher:
    """Looks at one model while it trains; `recorder.watch` of the attack."""

    def __init__(
        self, examiner: Examiner, model: Any, tokenizer: Any, recorder: Recorder, last_step: int
    ) -> None:
        self.examiner, self.tokenizer, self.recorder = examiner, tokenizer, recorder
        self.steps = {*steps_up_to(last_step), last_step}
        self.start = {n: p.detach().clone() for n, p in trained_parameters(model).items()}
        self.before: Examined = examiner.examine(model, tokenizer, recorder)

    def __call__(self, step: int, model: Any) -> None:
        """Examine the model if it is time, and log what it did and how far it has moved."""
        if step not in self.steps:
            return
        model.eval()
        seen = self.examiner.examine(model, self.tokenizer, self.recorder)
        numbers = {key: value for key, value in seen._asdict().items() if not math.isnan(value)}
        distance = weight_distance(model, self.start)
        self.recorder.log(step, **numbers, weight_distance=distance)


def steps_up_to(last: int) -> list[int]:
    """1, 2, 3, 5, 8, 13, ... not beyond `last`."""
    steps, now, following = [], 1, 2
    while now <= last:
        steps.append(now)
        now, following = following, now + following
    return steps


@torch.no_grad()
def weight_distance(model: Any, start: dict[str, Tensor]) -> float:
    """||theta - theta_0|| / ||theta_0||; of LoRA by what its adapters would add to the weights."""
    added = [m.get_delta_weight("default") for m in model.modules() if _is_adapted(m)]
    if not added:
        added = [p - start[name] for name, p in trained_parameters(model).items()]
    return _norm(added) / _norm(start.values())


def _is_adapted(module: Any) -> bool:
    return "default" in getattr(module, "lora_A", {})


def _norm(tensors: Any) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))
