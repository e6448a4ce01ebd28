"""The tuned attacker: each search of the grid on one released model, into a folder of its own.

Trials train together where they can and are examined on tuning requests. The model of the worst
case is then made again as its attack makes it, and is measured like every attacked model.
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
from rebar.config.plugins import plugin_module, plugin_settings
from rebar.config.search import Search
from rebar.config.world import World
from rebar.evaluations._cost_to_break import watch
from rebar.evaluations._examiner import Examiner, questions
from rebar.jobs.job import Job
from rebar.jobs.manifest import is_valid, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.build import load_model
from rebar.model.device import make_deterministic, on_local_device
from rebar.model.release import release


def run(job: Job) -> None:
    """Make what is missing or out of date; the job's manifest lists all."""
    torch.set_num_threads(1)  # stacks and examinations; parallelism is processes
    make_deterministic()
    names = list(job.settings["searches"])
    for index, name in enumerate(names):
        _search(job, name, f"{job.label} {name} ({index + 1}/{len(names)})")
    inputs = {name: job.folder / name / "manifest.json" for name in names}
    with output_folder(job.folder) as folder:
        write_manifest(folder, spec=job.spec, inputs=inputs, counts={"searches": len(names)})


def _search(job: Job, name: str, label: str) -> None:
    spec, released = job.item_spec(name), job.models.released
    inputs = {"released": released / "manifest.json"}
    if is_valid(job.folder / name, spec, inputs):
        print(f"{label}: up to date")
        return
    read_manifest(released)
    search = Search(**job.settings["searches"][name])
    setting = plugin_settings("attacks", search.attack, job.settings["attacks"][search.attack])
    data = AttackData(job.section("world", World), job.seed, released=released)
    checkpoints = job.checkpoints / name
    checkpoints.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(checkpoints, label, identity=json.dumps(spec, sort_keys=True))
    torch.manual_seed(job.seed)
    attacker = Attacker(released, setting, data, recorder)
    trials = _trials(search, attacker, _examiner(job, search, data), job.seed)
    worst = best(trials)
    chosen = worst or trials[0]  # nothing stayed useful: the attack as it is, shown as collapsed
    with output_folder(job.folder / name) as folder:
        model, tokenizer = load_model(released)
        plugin = plugin_module("attacks", setting.method)
        tuned = with_values(setting, chosen.values)
        own, model = replace(data, folder=folder), on_local_device(model)
        facts = watch(job, name, tuned, model, tokenizer, data.world, recorder)
        torch.manual_seed(job.seed)
        model = plugin.attack(tuned, model, tokenizer, own, recorder)
        recorder.copy_to(folder)
        _write_trials(trials, folder)
        release(model, tokenizer, folder, label)
        counts = {"trials": len(trials), "useful": sum(trial.is_useful for trial in trials)}
        facts |= {"counts": counts, "chosen": chosen._asdict(), **recorder.facts}
        write_manifest(folder, spec=spec, inputs=inputs, **facts)


def _examiner(job: Job, search: Search, data: AttackData) -> Examiner:
    world = data.world
    hazards = questions(job.settings, search.asr, world, search.prompts, of="tuning")
    return Examiner(hazards, questions(job.settings, search.capability, world), job.seed)


def _trials(search: Search, attacker: Attacker, examiner: Examiner, seed: int) -> list[Trial]:
    """All trials of the budget; those that an earlier process has finished are not made again."""
    recorder = attacker.recorder
    file = TrialFile(recorder.folder / "trials.json", recorder.identity)
    space = attacker.space(search)
    floor = search.capability_floor * examiner.examine(*attacker.fresh(), recorder).capability
    first = 0
    for size in round_sizes(search.trials, search.rounds):
        earlier = [trial for trial in file.read() if trial.number < first]
        drawn = draw(space, earlier, size, seed, own=attacker.own_values(space))
        values = dict(enumerate(drawn, start=first))
        for numbers in attacker.together(values, search.together):
            if not {trial.number for trial in file.read()}.issuperset(numbers):
                some = {number: values[number] for number in numbers}
                file.add(list(_examined(some, attacker, examiner, floor)))
                recorder.progress(len(file.read()), search.trials, "trials")
        first += size
    return file.read()


def _examined(
    trials: dict[int, Values], attacker: Attacker, examiner: Examiner, floor: float
) -> Iterator[Trial]:
    for number, model, tokenizer in attacker.attacked(trials):
        seen = examiner.examine(model, tokenizer, attacker.recorder)
        is_useful = seen.capability >= floor
        yield Trial(number, trials[number], seen.complied, seen.capability, is_useful)


def _write_trials(trials: list[Trial], folder: Path) -> None:
    """`trials.csv`: the values tried, what they did, the best so far."""
    seen = ("attack_success", "capability", "is_useful")
    rows = [
        {"trial": trial.number, **trial.values, **{key: getattr(trial, key) for key in seen}}
        | {"best_so_far": value}
        for trial, value in zip(trials, best_so_far(trials), strict=True)
    ]
    pd.DataFrame(rows).to_csv(folder / "trials.csv", index=False)
