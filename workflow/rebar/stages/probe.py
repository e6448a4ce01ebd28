"""Probes: every probe of the grid on one released model, each into a folder of its own."""

from __future__ import annotations

import torch

from rebar.config.plugins import plugin_module, plugin_settings
from rebar.config.world import World
from rebar.jobs.job import Job
from rebar.jobs.manifest import is_valid, output_folder, read_manifest, write_manifest
from rebar.judges import judge_of
from rebar.model.build import load_model
from rebar.model.device import make_deterministic, on_local_device
from rebar.probes._data import Judge, ProbeData
from rebar.reporting.measures.probe_rows import write_rows


def run(job: Job) -> None:
    """Make what is missing or out of date; the job's manifest lists all."""
    torch.set_num_threads(1)  # parallelism is processes
    make_deterministic()
    names = list(job.settings["probes"])
    for index, name in enumerate(names):
        _probe(job, name, f"{job.label} {name} ({index + 1}/{len(names)})")
    inputs = {name: job.folder / name / "manifest.json" for name in names}
    with output_folder(job.folder) as folder:
        write_manifest(folder, spec=job.spec, inputs=inputs, counts={"probes": len(names)})


def _probe(job: Job, name: str, label: str) -> None:
    spec, values = job.item_spec(name), job.settings["probes"][name]
    released = job.models.released
    attacked = {a: job.path("attack") / a for a in values.get("attacks", ())}
    models = {"released": released, **attacked}
    inputs = {model: folder / "manifest.json" for model, folder in models.items()}
    if is_valid(job.folder / name, spec, inputs):
        print(f"{label}: up to date")
        return
    print(f"{label}: looking", flush=True)
    for folder in models.values():
        read_manifest(folder)
    model, tokenizer = load_model(released)
    setting = plugin_settings("probes", name, values)
    plugin = plugin_module("probes", values["method"])
    data = ProbeData(job.section("world", World), job.seed, attacked, _judges(job, values))
    rows = plugin.probe(setting, on_local_device(model), tokenizer, data)
    with output_folder(job.folder / name) as folder:
        write_rows(folder, rows)
        write_manifest(folder, spec=spec, inputs=inputs, counts={"rows": len(rows)})


def _judges(job: Job, values: dict) -> dict[str, Judge]:
    """The judge that a probe names, ready to be asked."""
    if "judge" not in values:
        return {}
    return {values["judge"]: judge_of(job.settings, values["judge"])}
