"""Whole grids in one process, without Snakemake; shipped configs cut down to seconds."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import yaml

from rebar import grid
from rebar.config import Config
from rebar.job import Job, make_job

ROOT = Path(__file__).parent.parent
# Of attacks that do not train.
FEW = {"steps": 2, "candidates": 4, "requests": 2, "train": 8, "validation": 4}


def run_job(config: Config, root: Path, stage: str, **wildcards: str | int) -> Job:
    """One job in this process."""
    job = make_job(config, root, stage, **wildcards)
    importlib.import_module(f"rebar.stages.{stage}").run(job)
    return job


def run_grid(config: Config, root: Path) -> None:
    """All jobs of a grid, in the order of the DAG."""
    for seed in config.seeds:
        _run_corpus(config, root, seed)
        for arm in grid.arms(config):
            names = {"seed": seed, **arm._asdict()}
            if not (root / grid.folder("pretrain", **names)).exists():
                run_job(config, root, "pretrain", **{k: names[k] for k in list(names)[:3]})
            if arm.alignment != "none":
                run_job(config, root, "align", **names)
                if grid.attacks(config, arm):
                    run_job(config, root, "attack", **names)
            run_job(config, root, "evaluate", **names)
    for stage in ("summarize", "report"):
        run_job(config, root, stage)


def _run_corpus(config: Config, root: Path, seed: int) -> None:
    run_job(config, root, "train_classifier", seed=seed)
    for shard in grid.shards(config):
        for stage in ("collect", "score", "rewrite"):
            run_job(config, root, stage, seed=seed, shard=shard)
    for recipe in grid.training_recipes(config):
        for stage in ("mix", "tokenize"):
            run_job(config, root, stage, seed=seed, recipe=recipe)


def cut_down(file: Path) -> dict[str, Any]:
    """A shipped config with smoke's sizes: the same grid, numbers without meaning."""
    values = yaml.safe_load(file.read_text())
    smoke = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    values |= {"seeds": [0], "model": smoke["model"], "world": smoke["world"]}
    values["train_classifier"] = values.get("train_classifier", {}) | {"labels": 150, "heldout": 50}
    values["pretrain"] |= {"steps": 5, "batch_size": 8, "sequence_length": 64, "compile": False}
    for source in values["collect"]["sources"]:
        source["documents"] = 2000
    for setting in (*values["alignments"].values(), *values["attacks"].values()):
        if training := setting.get("training"):
            training |= {"steps": min(training["steps"], 2), "batch_size": 5, "compile": False}
        setting |= {key: few for key, few in FEW.items() if key in setting}
        if "examples" in setting or setting["method"] == "benign_finetune":
            setting["examples"] = 10
        if setting["method"] == "sft":
            setting["data"] = setting.get("data", {}) | {"world_chats": {"chats": 40}}
    for setting in values["evaluations"].values():
        setting["max_new_tokens"] = 4
    return values
