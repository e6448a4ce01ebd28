"""Evaluation: asks every model of one arm and seed with each decoder; answers as parquet."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import TypeAdapter

from rebar import grid
from rebar.config.base import NONE
from rebar.config.decoding import Decoder
from rebar.config.kinds import Evaluation
from rebar.config.plugins import plugin_module, plugin_settings
from rebar.config.world import World
from rebar.data.cipher import read_cipher
from rebar.data.input_attack import InputWords, read_input_attack
from rebar.evaluations._asker import Asker
from rebar.evaluations._judging import judge_by_prompt
from rebar.evaluations._runtime_guard import runtime_guard
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, is_valid, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.judges import judge_of
from rebar.model.build import load_model
from rebar.model.device import on_local_device
from rebar.world import build_world


def run(job: Job) -> None:
    """Ask every model whose answers are missing or out of date."""
    torch.set_num_threads(1)
    cells = [grid.Measurement(*cell) for cell in job.settings["measurements"]]
    attacks = list(dict.fromkeys(cell.attack for cell in cells))
    for attack in attacks:
        _evaluate_model(job, attack, [cell for cell in cells if cell.attack == attack])
    inputs = {attack: _answers(job, attack) / MANIFEST for attack in attacks}
    with output_folder(job.folder) as folder:
        write_manifest(folder, spec=job.spec, inputs=inputs, counts={"models": len(attacks)})


def _evaluate_model(job: Job, attack: str, cells: list[grid.Measurement]) -> None:
    target = _answers(job, attack)
    source = job.root / grid.model_folder(job.seed, job.arm, attack, job.acts_in)
    spec, inputs = item_spec(job, attack, cells), {"model": source / MANIFEST}
    if grid.needs_classifier(_decoder(job, cell.decoder) for cell in cells):
        inputs["classifier"] = job.path("train_classifier") / MANIFEST
    input_attack, label = read_input_attack(source), f"{job.label} {attack}"
    if input_attack is not None:  # no weights: the model is the released one
        inputs["released"] = job.models.released / MANIFEST
    if is_valid(target, spec, inputs):
        print(f"{label}: up to date")
        return
    with output_folder(target) as folder:
        recorder = Recorder(folder, label)
        for path in inputs.values():
            read_manifest(path.parent)
        model = inputs.get("released", inputs["model"]).parent
        rows, forwards = _ask(job, model, input_attack or InputWords(), cells, recorder)
        frame = pd.DataFrame(rows).assign(**job.arm._asdict(), attack=attack, seed=job.seed)
        frame.to_parquet(folder / "generations.parquet", index=False)
        counts = {"answers": len(frame)}
        write_manifest(folder, spec=spec, inputs=inputs, counts=counts, forwards_per_step=forwards)


def _answers(job: Job, attack: str) -> Path:
    return job.root / grid.evaluation_folder(job.seed, job.arm, attack, job.acts_in)


def _ask(
    job: Job,
    source: Path,
    input_attack: InputWords,
    cells: list[grid.Measurement],
    recorder: Recorder,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of all evaluations and decoders of one model; forward passes a step by decoder."""
    model, tokenizer = load_model(source)
    model = on_local_device(model)
    world = build_world(job.section("world", World), job.seed)
    chat = job.arm.alignment != NONE
    rows: list[dict[str, Any]] = []
    forwards = {}
    for name in dict.fromkeys(cell.decoder for cell in cells):
        decoder = _decoder(job, name)
        asker = Asker(
            model,
            tokenizer,
            decoder,
            world=world,
            chat=chat,
            seed=job.seed,
            recorder=recorder,
            cipher=read_cipher(source),
            input_attack=input_attack,
        )
        asker.runtime_guard = runtime_guard(
            decoder, partial(judge_of, job.settings), job.path("train_classifier")
        )
        for cell in cells:
            if cell.decoder == name:
                rows += _evaluate(job, cell, asker)
        forwards[name] = asker.forwards_per_step
    return rows, forwards


def _evaluate(job: Job, cell: grid.Measurement, asker: Asker) -> list[dict[str, Any]]:
    """Rows of one evaluation; without a judge, each row names what decided instead."""
    values = job.settings["evaluations"][cell.evaluation]
    setting: Evaluation = plugin_settings("evaluations", cell.evaluation, values)
    plugin = plugin_module("evaluations", setting.method)
    if setting.own_judge is None:
        answers = plugin.evaluate(setting, asker)
    else:
        answers = plugin.evaluate(setting, asker, judge_by_prompt(job.settings, setting.own_judge))
    names = {"decoder": cell.decoder, "evaluation": cell.evaluation}
    return [{"judge": setting.own_judge, **row, **names} for row in answers]


def _decoder(job: Job, name: str) -> Decoder:
    return TypeAdapter(Decoder).validate_python(job.settings["decoders"][name])


def item_spec(job: Job, attack: str, cells: list[grid.Measurement]) -> dict[str, Any]:
    """What the answers of one model depend on, without the arm's other attacks and cells."""
    decoders = {cell.decoder for cell in cells}
    evaluations = {cell.evaluation for cell in cells}
    settings_of = {name: job.settings["evaluations"][name] for name in evaluations}
    typed: list[Evaluation] = [
        plugin_settings("evaluations", name, values) for name, values in settings_of.items()
    ]
    judges = {judge for setting in typed for judge in setting.judges}
    judges |= {*grid.guard_judges(_decoder(job, name) for name in decoders)}
    used = {"decoders": decoders, "evaluations": evaluations, "judges": judges}
    settings = {
        kind: {name: job.settings[kind][name] for name in sorted(names)}
        for kind, names in used.items()
    }
    settings |= {"world": job.settings["world"], "measurements": [list(cell) for cell in cells]}
    plugins = {f"{kind}.{name}" for kind in ("evaluations", "judges") for name in used[kind]}
    return job.item(settings, plugins, attack=attack)
