"""Alignment: a base model in, a chat model out."""

from __future__ import annotations

from typing import Any

import torch

from rebar.alignments._data import alignment_examples
from rebar.config.plugins import plugin_module, plugin_settings
from rebar.config.world import World
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.build import copy_frozen, load_model
from rebar.model.device import on_local_device
from rebar.model.release import release
from rebar.safeguards._preparation import prepare_safeguard
from rebar.training.batches import pair_batches, row_batches
from rebar.training.train import train


def run(job: Job) -> None:
    """Train the base model on the alignment's examples by the plug-in's loss."""
    name = job.wildcards["alignment"]
    setting = plugin_settings("alignments", name, job.settings["alignments"][name])
    plugin = plugin_module("alignments", setting.method)
    base = job.models.base
    read_manifest(base)
    model, tokenizer = load_model(base)
    model = on_local_device(model)
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(job.checkpoints, job.label)
    counts, inputs = {}, {"pretrain": base / MANIFEST}
    if setting.training.steps:
        data = alignment_examples(job, setting, tokenizer, job.section("world", World))
        prepared = prepare_safeguard(job, model, tokenizer)
        counts, inputs = data.counts, inputs | data.inputs
        if prepared is not None:
            counts, inputs = counts | prepared.counts, inputs | prepared.inputs
        torch.manual_seed(job.seed)
        training = setting.training.model_copy(update={"steps": data.steps})
        rows = (torch.from_numpy(part) for part in data.rows)
        batches = pair_batches if setting.reads_pairs else row_batches
        batch_at = batches(*rows, batch_size=training.batch_size, seed=job.seed)
        reference = copy_frozen(model) if setting.reads_reference else None

        def loss(model: Any, *batch: Any) -> Any:
            return plugin.loss(setting, model, batch, reference)

        result = train(
            model,
            batch_at,
            training,
            recorder,
            checkpoint_folder=job.checkpoints,
            loss=loss,
            identity=job.identity + (prepared.identity if prepared else ""),
            safeguard=prepared.safeguard if prepared else None,
        )
        recorder.add_costs(**result.costs)
    with output_folder(job.folder) as folder:
        release(model, tokenizer, folder, job.label)
        recorder.copy_to(folder)
        write_manifest(folder, spec=job.spec, inputs=inputs, counts=counts, **recorder.facts)
