"""One attack on one released model, as the stages `attack` and `search` run it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from rebar.attacks._target import Target
from rebar.config.kinds import Attack, FineTuningAttack, InputAttack
from rebar.config.plugins import plugin_module
from rebar.data.input_attack import write_input_attack
from rebar.evaluations._cost_to_break import is_watched, watch
from rebar.jobs.job import Job
from rebar.model.release import release


def run_attack(job: Job, name: str, setting: Attack, target: Target) -> dict[str, Any]:
    """Attack the target and write what comes out of it; returns facts for the manifest.

    Written are the attacked model or, by an input attack, the words around every request.
    """
    facts: dict[str, Any] = {}
    if is_watched(job, name):
        assert isinstance(setting, FineTuningAttack), "the grid lets no other attack be watched"
        model, world = target.model, target.data.world
        watcher, facts = watch(
            job, name, setting.training, model, target.tokenizer, world, target.recorder
        )
        target = replace(target, after_step=watcher)
    plugin = plugin_module("attacks", setting.method)
    torch.manual_seed(job.seed)
    if isinstance(setting, InputAttack):
        write_input_attack(target.folder, plugin.words(setting, target))
        facts["model"] = str(job.models.released.relative_to(job.root))
    else:
        attacked = plugin.attack(setting, target)
        release(attacked, target.tokenizer, target.folder, target.recorder.label)
    target.recorder.copy_to(target.folder)
    return facts | target.facts
