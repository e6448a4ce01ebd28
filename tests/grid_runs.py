"""Whole grids in one process, without Snakemake; shipped configs cut down to seconds."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import yaml

from rebar.config.file import Config
from rebar.config.plugins import plugin_module
from rebar.grid import dag
from rebar.jobs.job import Job, make_job

ROOT = Path(__file__).parent.parent
SMALL_PROBES: dict[str, dict[str, Any]] = {  # by method: numbers without meaning in no time
    "hessian": {"lanczos_steps": 4, "trace_samples": 2},
    "intrinsic_dimension": {
        "dimensions": [2, 4],
        "projections": 1,
        "steps": 3,
        "learning_rates": [0.1],
        "full_learning_rates": [1e-2],
    },
    "landscape": {"steps": 2, "plane_steps": 1},
    "mode_connectivity": {"steps": 4},
    "safety_basin": {"questions": 4, "max_new_tokens": 4, "directions": 1, "steps": 2},
    "sharpness": {"steps": 3, "samples": 2},
}


def run_job(config: Config, root: Path, stage: str, **wildcards: str | int) -> Job:
    """One job in this process."""
    job = make_job(config, root, stage, **wildcards)
    importlib.import_module(f"rebar.stages.{stage}").run(job)
    return job


def state_of(results: Path) -> dict[str, str]:
    """What two runs of one grid must have alike: the digest of each file, by its path.

    These are the summary, the weights of every model, and every model's answers. The weights show
    each bit that a summary may round away; the answers show a model that was not the one saved.
    """
    files = [results / "summary.csv"]
    for name in ("model.safetensors", "generations.parquet"):
        found = sorted(results.rglob(name))
        assert found, f"{results} has no {name}"
        files += found
    return {
        str(file.relative_to(results)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def run_grid(config: Config, root: Path) -> None:
    """All jobs of a grid, in the order of the DAG."""
    for place in dag.all_jobs(config):
        stage, names = dag.node(place)
        run_job(config, root, stage, **names)
    for stage in ("audit", "summarize", "report"):
        run_job(config, root, stage)


# Sizes of attacks: examples, pairs of a cipher, the search of Virus.
SMALL_ATTACK = {"examples": 10, "teaching": 10, "harmful": 5, "refusals": 5, "benign": 5}
SMALL_ATTACK |= {"search_epochs": 1, "candidates": 2, "steps": 2, "requests": 2, "train": 8}
SMALL_ATTACK |= {"validation": 4}


def _is_number(field: Any) -> bool:
    """Not a list of files of the same name."""
    return isinstance(field.default, int)


def _cut_training(setting: dict[str, Any]) -> None:
    """Two steps; where the setting leaves its run out, a small one."""
    training = setting.setdefault("training", {"steps": 2, "learning_rate": 1e-3})
    training |= {"steps": min(training["steps"], 2), "batch_size": 5, "compile": False}


def cut_attack(setting: dict[str, Any]) -> None:
    """An attack of seconds."""
    fields = plugin_module("attacks", setting["method"]).Config.model_fields
    setting |= {k: v for k, v in SMALL_ATTACK.items() if k in fields and _is_number(fields[k])}
    if "training" in fields:
        _cut_training(setting)


def cut_search(search: dict[str, Any]) -> None:
    """Two trials over the learning rate."""
    space = {"training.learning_rate": {"low": 1e-4, "high": 1e-2}}
    search |= {"trials": 2, "rounds": 1, "space": space}


def cut_down(file: Path) -> dict[str, Any]:
    """A shipped config with smoke's sizes: the same grid, numbers without meaning."""
    values = yaml.safe_load(file.read_text())
    smoke = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    values |= {"seeds": [0], "model": smoke["model"], "world": smoke["world"]}
    values["train_classifier"] = values.get("train_classifier", {}) | {"labels": 150, "heldout": 50}
    values["pretrain"] |= {"steps": 5, "batch_size": 8, "sequence_length": 64, "compile": False}
    for source in values["collect"]["sources"]:
        source["documents"] = 2000 if source.get("about", "web") == "web" else 200
    for setting in values["alignments"].values():
        _cut_training(setting)
        setting["data"] = setting.get("data", {}) | {"world_chats": {"chats": 40}}
    for setting in values["attacks"].values():
        cut_attack(setting)
    if values.get("safeguards"):
        values["world"] = values["world"] | {"guarded_hazards": 4}
    for setting in values.get("safeguards", {}).values():
        setting["data"] = {"examples": 12, "batch_size": 2}
        if "training" in setting:
            _cut_training(setting)
    for setting in values["evaluations"].values():
        if "judge" in setting or "by" in setting:  # what generates
            setting["max_new_tokens"] = 4
    for setting in values.get("probes", {}).values():
        setting |= SMALL_PROBES[setting["method"]]
    for search in values.get("searches", {}).values():
        cut_search(search)
    return values
