"""Probes: measures one released model with every probe of the grid, a folder for each probe."""

from __future__ import annotations

import torch

from rebar.config.kinds import Probe
from rebar.config.plugins import plugin_module, plugin_settings
from rebar.config.world import World
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, is_valid, output_folder, read_manifest, write_manifest
from rebar.judges import judge_of
from rebar.model.build import load_model
from rebar.model.device import make_deterministic, on_local_device
from rebar.probes._data import Judge, ProbeData
from rebar.reporting.measures.probe_rows import write_rows
from rebar.stages._items import make_items


def run(job: Job) -> None:
    """Run the probes whose rows are missing or out of date."""
    torch.set_num_threads(1)  # parallelism is processes
    make_deterministic()
    make_items(job, "probes", list(job.settings["probes"]), _probe)


def _probe(job: Job, name: str, label: str) -> None:
    spec, released = job.item_spec(name), job.models.released
    setting: Probe = plugin_settings("probes", name, job.settings["probes"][name])
    attacked = {attack: job.path("attack") / attack for attack in setting.looks_along}
    models = {"released": released, **attacked}
    inputs = {model: folder / MANIFEST for model, folder in models.items()}
    if is_valid(job.folder / name, spec, inputs):
        print(f"{label}: up to date")
        return
    print(f"{label}: measuring", flush=True)
    for folder in models.values():
        read_manifest(folder)
    model, tokenizer = load_model(released)
    plugin = plugin_module("probes", setting.method)
    data = ProbeData(job.section("world", World), job.seed, attacked, _judges(job, setting))
    rows = plugin.probe(setting, on_local_device(model), tokenizer, data)
    with output_folder(job.folder / name) as folder:
        write_rows(folder, rows)
        write_manifest(folder, spec=spec, inputs=inputs, counts={"rows": len(rows)})


def _judges(job: Job, setting: Probe) -> dict[str, Judge]:
    """The judge that a probe names, ready to be asked; nothing if it names none."""
    name = setting.own_judge
    return {name: judge_of(job.settings, name)} if name else {}
