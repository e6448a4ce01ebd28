"""A small aligned model and a grid that attacks, tunes and watches it."""

from __future__ import annotations

from pathlib import Path

import yaml

from rebar.config.file import Config, parse_config
from tests.conftest import ROOT
from tests.grid_runs import run_job
from tests.stages import training_jobs as jobs

ARM = jobs.WILDCARDS["attack"]
# Stacked trials of a larger model take minutes where the kernels have no batched bf16 product.
MODEL = {"hidden_size": 32, "layers": 1, "heads": 1, "feed_forward_size": 64}
TRAINING = {"steps": 4, "learning_rate": 1e-3, "precision": "float32"}
SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-1},
    "training.batch_size": {"values": [4, 8]},
    "training.steps": {"low": 2, "high": 5},
}


def config(**search) -> Config:
    """The smoke config with a tuned attacker on one arm."""
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    values["seeds"] = [ARM["seed"]]
    values |= {"model": MODEL}
    values["attacks"]["harmful_finetune_10"]["training"] |= TRAINING
    values["pretrain"] |= {"steps": 25}
    values["alignments"]["sft"]["data"] |= {"replay_share": 0.0}
    harmful = {"attack": "harmful_finetune_10", "trials": 6, "rounds": 2, "space": SPACE}
    values["searches"] = {"tuned_harmful": harmful | search}
    values["grid"][1]["attacks"] = [*values["grid"][1]["attacks"], "tuned_harmful"]
    return parse_config(values, "test")


def release(root: Path) -> Path:
    """A results folder with an aligned model."""
    settings = config()
    jobs.pack(root, settings)
    for name in ("pretrain", "align"):
        run_job(settings, root, name, **jobs.WILDCARDS[name])
    return root
