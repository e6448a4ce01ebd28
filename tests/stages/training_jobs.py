"""Jobs that train, on random tokens: seconds from an empty folder to attacked models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rebar.config.file import Config, parse_config
from rebar.jobs.job import Job, make_job
from rebar.jobs.manifest import output_folder, write_manifest
from rebar.world.tokenizer import build_tokenizer
from tests.conftest import ROOT

WILDCARDS = {
    "pretrain": {"seed": 0, "recipe": "raw", "safeguard": "none"},
    "align": {"seed": 0, "recipe": "raw", "safeguard": "none", "alignment": "sft"},
    "attack": {"seed": 0, "recipe": "raw", "safeguard": "none", "alignment": "sft"},
}
STEPS = {"pretrain": 25, "align": 12, "attack": 6}


def config(**pretrain: Any) -> Config:
    """The smoke config; `pretrain` changes the settings of pretraining."""
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    values["seeds"] = [WILDCARDS["pretrain"]["seed"]]
    values["pretrain"] |= {"steps": STEPS["pretrain"], "checkpoint_every_steps": 0, **pretrain}
    sft = values["alignments"]["sft"]
    sft["training"] = sft["training"] | {"steps": STEPS["align"]}
    sft["data"] = sft["data"] | {"replay_share": 0.0}
    for attack in values["attacks"].values():
        attack["training"] = attack["training"] | {"steps": STEPS["attack"]}
    values["attacks"]["benign_finetune_matched"]["target_accuracy"] = 1.0
    return parse_config(values, "test")


def pack(root: Path, settings: Config, recipe: str = "raw") -> None:
    """What `tokenize` leaves: a tokenizer and tokens."""
    job = make_job(settings, root, "tokenize", seed=0, recipe=recipe)
    tokenizer = build_tokenizer()
    count = settings.pretrain.steps * settings.pretrain.tokens_per_step + 1
    tokens = np.random.default_rng(0).integers(10, len(tokenizer), count).astype(np.uint16)
    with output_folder(job.folder) as folder:
        np.save(folder / "tokens.npy", tokens)
        tokenizer.save_pretrained(folder / "tokenizer")
        write_manifest(folder, spec=job.spec, counts={"tokens": count})


def arguments(settings: Config, root: Path, stage: str) -> list[str]:
    """The command line of a job, after `python -m rebar`."""
    text = json.dumps(job(settings, root, stage).spec)
    return [stage, "--results", str(root), "--job", text]


def start(settings: Config, root: Path, stage: str) -> subprocess.Popen:
    """The job as a process, in a group of its own."""
    command = [sys.executable, "-m", "rebar", *arguments(settings, root, stage)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    return subprocess.Popen(command, env=environment, process_group=0)


def wait_until_it_trains(process: subprocess.Popen, checkpoints: Path) -> None:
    """Until the first line of its metrics is there."""
    while not (checkpoints / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)


def job(settings: Config, root: Path, stage: str) -> Job:
    return make_job(settings, root, stage, **WILDCARDS[stage])


def content(root: Path, *tops: str) -> dict[str, bytes]:
    """Every file that may not differ between two runs, by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for top in tops
        for path in sorted((root / top).rglob("*"))
        if path.is_file() and path.name != "costs.json"
    }
