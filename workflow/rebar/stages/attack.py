"""Attacks: every attack of the grid on one released model, each into a folder of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rebar.attacks._data import AttackData
from rebar.config.plugins import plugin_module, plugin_settings
from rebar.config.world import World
from rebar.data.input_attack import INPUT_ATTACK
from rebar.evaluations._cost_to_break import watch
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, is_valid, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.build import load_model
from rebar.model.device import on_local_device
from rebar.model.release import release


def run(job: Job) -> None:
    """Make what is missing or out of date; the job's manifest lists all."""
    world, models = job.section("world", World), job.models
    data = AttackData(world, job.seed, released=models.released, base=models.base)
    names = list(job.settings["attacks"])
    for index, name in enumerate(names):
        _attack(job, name, data, f"{job.label} {name} ({index + 1}/{len(names)})")
    inputs = {name: job.folder / name / MANIFEST for name in names}
    with output_folder(job.folder) as folder:
        write_manifest(folder, spec=job.spec, inputs=inputs, counts={"attacks": len(names)})


def _attack(job: Job, name: str, data: AttackData, label: str) -> None:
    spec = job.item_spec(name)
    setting = plugin_settings("attacks", name, job.settings["attacks"][name])
    inputs = _inputs(setting, data)
    if is_valid(job.folder / name, spec, inputs):
        print(f"{label}: up to date")
        return
    plugin = plugin_module("attacks", setting.method)
    checkpoints = job.checkpoints / name
    checkpoints.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(checkpoints, label, identity=json.dumps(spec, sort_keys=True))
    with output_folder(job.folder / name) as folder:
        for path in inputs.values():
            read_manifest(path.parent)
        model, tokenizer = load_model(inputs["released"].parent)
        model = on_local_device(model)
        torch.set_num_threads(1)  # a training sets its own
        facts = watch(job, name, setting, model, tokenizer, data.world, recorder)
        torch.manual_seed(job.seed)
        own = replace(data, folder=folder)
        model = plugin.attack(setting, model, tokenizer, own, recorder)
        recorder.copy_to(folder)
        facts |= recorder.facts
        if (folder / INPUT_ATTACK).exists():  # no weights: the model is the released one
            facts["model"] = str(job.models.released.relative_to(job.root))
        else:
            release(model, tokenizer, folder, label)
        write_manifest(folder, spec=spec, inputs=inputs, **facts)


def _inputs(setting: Any, data: AttackData) -> dict[str, Path]:
    """Manifests of the models that the attack reads."""
    assert data.released is not None and data.base is not None
    inputs = {"released": data.released / MANIFEST}
    if setting.reads_base:
        inputs["base"] = data.base / MANIFEST
    return inputs
