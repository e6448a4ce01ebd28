"""Alignment: trains a base model into a chat model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rebar.alignments._data import alignment_examples
from rebar.config.kinds import Alignment
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


class Trained(NamedTuple):
    """What the manifest says about the training."""

    counts: dict[str, int]
    inputs: dict[str, Path]
    facts: dict[str, int]


def run(job: Job) -> None:
    """Train the base model on the alignment's examples, by the loss of its plug-in."""
    name, base = job.wildcards["alignment"], job.models.base
    setting: Alignment = plugin_settings("alignments", name, job.settings["alignments"][name])
    read_manifest(base)
    model, tokenizer = load_model(base)
    model = on_local_device(model)
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(job.checkpoints, job.label)
    trained = Trained({}, {}, {})
    if setting.training.steps:
        trained = _train(job, setting, model, tokenizer, recorder)
    with output_folder(job.folder) as folder:
        release(model, tokenizer, folder, job.label)
        recorder.copy_to(folder)
        inputs = {"pretrain": base / MANIFEST} | trained.inputs
        write_manifest(folder, spec=job.spec, inputs=inputs, counts=trained.counts, **trained.facts)


def _train(job: Job, setting: Alignment, model: Any, tokenizer: Any, recorder: Recorder) -> Trained:
    """Train `model` in place, under the arm's safeguard if that acts in alignment."""
    plugin = plugin_module("alignments", setting.method)
    data = alignment_examples(job, setting, tokenizer, job.section("world", World))
    prepared = prepare_safeguard(job, model, tokenizer)
    torch.manual_seed(job.seed)
    training = setting.training.model_copy(update={"steps": data.steps})
    rows = (torch.from_numpy(part) for part in data.rows)
    batches = pair_batches if setting.reads_pairs else row_batches
    batch_at = batches(*rows, batch_size=training.batch_size, seed=job.seed)
    references = (copy_frozen(model),) if setting.reads_reference else ()

    def loss(model: Any, *batch: Tensor) -> Tensor:
        return plugin.loss(setting, model, batch, *references)

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
    if prepared is None:
        return Trained(data.counts, data.inputs, result.facts)
    counts, inputs = data.counts | prepared.counts, data.inputs | prepared.inputs
    return Trained(counts, inputs, result.facts)
