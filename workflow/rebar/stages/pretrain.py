"""Pretraining: trains a base model on packed tokens, or copies an existing model."""

from __future__ import annotations

import torch
from transformers import AutoTokenizer

from rebar.config.model import Model, Training
from rebar.config.paths import resolve
from rebar.jobs.job import Job
from rebar.jobs.manifest import output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.build import build_model, load_model
from rebar.model.device import on_local_device
from rebar.model.release import release
from rebar.safeguards._preparation import prepare_safeguard
from rebar.training.batches import packed_batches
from rebar.training.train import train


def run(job: Job) -> None:
    """Train from scratch, or copy the recipe's initial model."""
    if job.settings["initial_model"]:
        _take(job)
    else:
        _train(job)


def _take(job: Job) -> None:
    with output_folder(job.folder) as folder:
        model, tokenizer = load_model(
            resolve(job.settings["initial_model"]), revision=job.settings["revision"]
        )
        release(model, tokenizer, folder, job.label)
        write_manifest(folder, spec=job.spec, counts={"tokens": 0})


def _train(job: Job) -> None:
    settings = job.section("pretrain", Training)
    packed = job.path("tokenize")
    corpus = read_manifest(packed)
    tokenizer = AutoTokenizer.from_pretrained(packed / "tokenizer")
    torch.manual_seed(job.seed)
    model = on_local_device(build_model(job.section("model", Model), tokenizer))
    batch_at = packed_batches(
        packed / "tokens.npy",
        batch_size=settings.batch_size,
        sequence_length=settings.sequence_length,
    )
    prepared = prepare_safeguard(job, model, tokenizer)
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(job.checkpoints, job.label)
    result = train(
        model,
        batch_at,
        settings,
        recorder,
        checkpoint_folder=job.checkpoints,
        identity=job.identity + (prepared.identity if prepared else ""),
        safeguard=prepared.safeguard if prepared else None,
    )
    recorder.add_costs(**result.costs)
    tokens = settings.steps * settings.tokens_per_step
    inputs, counts = {"tokenize": packed / "manifest.json"}, {}
    if prepared is not None:
        inputs, counts = inputs | prepared.inputs, prepared.counts
    with output_folder(job.folder) as folder:
        release(model, tokenizer, folder, job.label)
        recorder.copy_to(folder)
        write_manifest(
            folder,
            spec=job.spec,
            inputs=inputs,
            counts={"tokens": tokens, **corpus["counts"], **counts},
            **result.facts,
        )
