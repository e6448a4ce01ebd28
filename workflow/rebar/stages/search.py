"""Searches: tunes attacks on one released model, with a folder for each search.

Trials train together where possible and are examined on tuning requests. The attack then runs once
more with the values of the worst case, and its model is measured like every attacked model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from rebar.attacks._data import AttackData
from rebar.attacks._trials import Attacker, with_values
from rebar.attacks._tuning import Trial, TrialFile, Values, best, best_so_far, draw, round_sizes
from rebar.config.kinds import FineTuningAttack
from rebar.config.plugins import plugin_settings
from rebar.config.search import Search
from rebar.config.world import World
from rebar.evaluations._examiner import Examiner, questions
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, is_valid, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.device import make_deterministic
from rebar.stages._attack_run import run_attack
from rebar.stages._items import make_items


def run(job: Job) -> None:
    """Run the searches whose results are missing or out of date."""
    torch.set_num_threads(1)  # for trials that train together and for examinations
    make_deterministic()
    make_items(job, "searches", list(job.settings["searches"]), _search)


def _search(job: Job, name: str, label: str) -> None:
    spec, released = job.item_spec(name), job.models.released
    inputs = {"released": released / MANIFEST}
    if is_valid(job.folder / name, spec, inputs):
        print(f"{label}: up to date")
        return
    read_manifest(released)
    search = Search(**job.settings["searches"][name])
    values = job.settings["attacks"][search.attack]
    setting: FineTuningAttack = plugin_settings("attacks", search.attack, values)
    data = AttackData(job.section("world", World), job.seed, released=released)
    checkpoints = job.checkpoints / name
    checkpoints.mkdir(parents=True, exist_ok=True)
    recorder, identity = Recorder(checkpoints, label), json.dumps(spec, sort_keys=True)
    torch.manual_seed(job.seed)
    attacker = Attacker(setting, data, recorder, checkpoints, identity)
    trials = _trials(search, attacker, _examiner(job, search, data), job.seed)
    worst = best(trials)
    chosen = worst or trials[0]  # nothing stayed useful: the attack as it is, shown as collapsed
    with output_folder(job.folder / name) as folder:
        target = replace(attacker.load_target(), folder=folder)
        facts = run_attack(job, name, with_values(setting, chosen.values), target)
        _write_trials(trials, folder)
        counts = {"trials": len(trials), "useful": sum(trial.is_useful for trial in trials)}
        facts |= {"counts": counts, "chosen": chosen._asdict()}
        write_manifest(folder, spec=spec, inputs=inputs, **facts)


def _examiner(job: Job, search: Search, data: AttackData) -> Examiner:
    world = data.world
    hazards = questions(job.settings, search.asr, world, search.prompts, of="tuning")
    return Examiner(hazards, questions(job.settings, search.capability, world), job.seed)


def _trials(search: Search, attacker: Attacker, examiner: Examiner, seed: int) -> list[Trial]:
    """All trials of the budget; those that an earlier process finished are read, not repeated."""
    recorder = attacker.recorder
    file = TrialFile(attacker.checkpoints / "trials.json", attacker.identity)
    space = attacker.space(search)
    floor = search.capability_floor * _capability(attacker, examiner)
    first = 0
    for size in round_sizes(search.trials, search.rounds):
        earlier = [trial for trial in file.read() if trial.number < first]
        drawn = draw(space, earlier, size, seed, own=attacker.own_values(space))
        values = dict(enumerate(drawn, start=first))
        for numbers in attacker.group_trials(values, search.together):
            if not {trial.number for trial in file.read()}.issuperset(numbers):
                some = {number: values[number] for number in numbers}
                file.add(list(_examined(some, attacker, examiner, floor)))
                recorder.progress(len(file.read()), search.trials, "trials")
        first += size
    return file.read()


def _capability(attacker: Attacker, examiner: Examiner) -> float:
    """Capability of the released model, which is out of memory again when the trials begin."""
    target = attacker.load_target()
    return examiner.examine(target.model, target.tokenizer, attacker.recorder).capability


def _examined(
    trials: dict[int, Values], attacker: Attacker, examiner: Examiner, floor: float
) -> Iterator[Trial]:
    for number, model, tokenizer in attacker.run_trials(trials):
        seen = examiner.examine(model, tokenizer, attacker.recorder)
        is_useful = seen.capability >= floor
        yield Trial(number, trials[number], seen.complied, seen.capability, is_useful)


def _write_trials(trials: list[Trial], folder: Path) -> None:
    """Write `trials.csv`: values tried, their results, and the best result so far."""
    rows = [
        {
            "trial": trial.number,
            **trial.values,
            "attack_success": trial.attack_success,
            "capability": trial.capability,
            "is_useful": trial.is_useful,
            "best_so_far": so_far,
        }
        for trial, so_far in zip(trials, best_so_far(trials), strict=True)
    ]
    pd.DataFrame(rows).to_csv(folder / "trials.csv", index=False)
