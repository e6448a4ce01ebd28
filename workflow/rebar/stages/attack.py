"""Attacks: every attack of the grid on one released model, each into a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from rebar.attacks._data import AttackData
from rebar.attacks._target import load_target
from rebar.config.kinds import Attack
from rebar.config.plugins import plugin_settings
from rebar.config.world import World
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, is_valid, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.stages._attack_run import run_attack
from rebar.stages._items import make_items


def run(job: Job) -> None:
    """Run the attacks whose results are missing or out of date."""
    make_items(job, "attacks", list(job.settings["attacks"]), _attack)


def _attack(job: Job, name: str, label: str) -> None:
    spec = job.item_spec(name)
    setting: Attack = plugin_settings("attacks", name, job.settings["attacks"][name])
    inputs = _inputs(job, setting)
    if is_valid(job.folder / name, spec, inputs):
        print(f"{label}: up to date")
        return
    for path in inputs.values():
        read_manifest(path.parent)
    checkpoints = job.checkpoints / name
    checkpoints.mkdir(parents=True, exist_ok=True)
    identity = json.dumps(spec, sort_keys=True)
    models = job.models
    data = AttackData(job.section("world", World), job.seed, models.released, models.base)
    with output_folder(job.folder / name) as folder:
        recorder = Recorder(checkpoints, label)
        target = load_target(
            data, recorder, folder=folder, checkpoints=checkpoints, identity=identity
        )
        torch.set_num_threads(1)  # for what is not a training, which sets its own number
        facts = run_attack(job, name, setting, target)
        write_manifest(folder, spec=spec, inputs=inputs, **facts)


def _inputs(job: Job, setting: Attack) -> dict[str, Path]:
    """Manifests of the models that the attack reads."""
    inputs = {"released": job.models.released / MANIFEST}
    if setting.reads_base:
        inputs["base"] = job.models.base / MANIFEST
    return inputs
