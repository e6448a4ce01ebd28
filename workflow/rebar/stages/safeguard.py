"""Safeguard in a stage of its own: trains an aligned model once more and releases it.

The run trains on the safeguard's own helpful answers and refusals. It needs no alignment data, so
the aligned model may be somebody else's. The safeguard changes the direction of every step.
"""

from __future__ import annotations

import torch

from rebar.data.encoding import encode_chats
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.build import load_model
from rebar.model.device import on_local_device
from rebar.model.release import release
from rebar.safeguards._preparation import prepare_safeguard
from rebar.training.batches import row_batches
from rebar.training.train import train


def run(job: Job) -> None:
    """Train the arm's aligned model under its safeguard."""
    aligned = job.models.aligned
    read_manifest(aligned)
    model, tokenizer = load_model(aligned)
    model = on_local_device(model)
    prepared = prepare_safeguard(job, model, tokenizer)
    assert job.safeguard is not None and job.safeguard.training is not None and prepared is not None
    training = job.safeguard.training
    chats = [*prepared.examples["benign"], *prepared.examples["refusal"]]
    rows = encode_chats(tokenizer, chats, training.sequence_length)
    tensors = (torch.from_numpy(part) for part in rows)
    torch.manual_seed(job.seed)
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(job.checkpoints, job.label)
    result = train(
        model,
        row_batches(*tensors, batch_size=training.batch_size, seed=job.seed),
        training,
        recorder,
        checkpoint_folder=job.checkpoints,
        identity=job.identity + prepared.identity,
        safeguard=prepared.safeguard,
    )
    recorder.add_costs(**result.costs)
    with output_folder(job.folder) as folder:
        release(model, tokenizer, folder, job.label)
        recorder.copy_to(folder)
        inputs = {"align": aligned / MANIFEST} | prepared.inputs
        write_manifest(folder, spec=job.spec, inputs=inputs, counts=prepared.counts, **result.facts)
