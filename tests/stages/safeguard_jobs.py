"""A small world with three safeguards, one of each place, and the jobs of one recipe."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from rebar import grid
from rebar.config.file import Config, parse_config
from rebar.grid import Arm
from tests.conftest import ROOT
from tests.grid_runs import run_job
from tests.stages import training_jobs as jobs

PLACES = {"early": "pretraining", "during": "alignment", "after": "own_stage"}
TRAINING = {"steps": 12, "batch_size": 8, "sequence_length": 64, "learning_rate": 1e-3}
STAGES = ("pretrain", "align", "safeguard")


def safeguard(acts_in: str, **values: Any) -> dict[str, Any]:
    """SAM in a place, on few examples."""
    own = {"training": TRAINING | {"compile": False}} if acts_in == "own_stage" else {}
    data = {"examples": 24, "batch_size": 4}
    return {"acts_in": acts_in, "parts": [{"method": "sam"}], "data": data, **own, **values}


def config(training: dict[str, Any] | None = None, **values: Any) -> Config:
    """Recipe raw, aligned, without and with each safeguard; `values` are of all safeguards.

    `training` is that of the own stage.
    """
    smoke = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    smoke["world"]["guarded_hazards"] = 6
    smoke["recipes"] = {"raw": smoke["recipes"]["raw"]}
    smoke["pretrain"] |= {"steps": jobs.STEPS["pretrain"], "checkpoint_every_steps": 0}
    sft = smoke["alignments"]["sft"]
    sft["training"] |= {"steps": jobs.STEPS["align"]}
    smoke["alignments"] = {"sft": sft | {"data": {"world_chats": {"chats": 60}, "replay_share": 0}}}
    smoke["safeguards"] = {name: safeguard(place, **values) for name, place in PLACES.items()}
    if training is not None:
        smoke["safeguards"]["after"]["training"] = training
    smoke["attacks"] = {"harmful_finetune_10": smoke["attacks"]["harmful_finetune_10"]}
    smoke["decoders"] = {"greedy": smoke["decoders"]["greedy"]}
    smoke["evaluations"] = {"asr": {"method": "asr", "judge": "world", "max_new_tokens": 4}}
    smoke.pop("probes")
    block = {
        "recipes": ["raw"],
        "safeguards": ["none", *PLACES],
        "alignments": ["sft"],
        "attacks": ["none", "harmful_finetune_10"],
        "decoders": ["greedy"],
        "evaluations": ["asr"],
    }
    return parse_config(smoke | {"seeds": [0], "grid": [block]}, "test")


def names(safeguard: str) -> dict[str, Any]:
    return {"seed": 0, "recipe": "raw", "safeguard": safeguard, "alignment": "sft"}


def models(settings: Config, safeguard: str) -> grid.Models:
    """Folders of an arm's models."""
    arm = Arm("raw", safeguard, "sft")
    return grid.models_of(0, arm, grid.acts_in(settings, safeguard))


def train(settings: Config, root: Path, safeguard: str) -> Path:
    """Make what is missing of an arm's models; the folder of the released one."""
    if not (root / "corpus").exists():
        jobs.pack(root, settings)
    found = models(settings, safeguard)
    owners = [("pretrain", found.base), ("align", found.aligned), ("safeguard", found.released)]
    for stage, folder in owners:
        if not (root / folder / "manifest.json").exists():
            wildcards = names(safeguard if safeguard in folder.parts else "none")
            keys = wildcards if stage != "pretrain" else ("seed", "recipe", "safeguard")
            run_job(settings, root, stage, **{key: wildcards[key] for key in keys})
    return root / found.released


def copied(root: Path, target: Path, *tops: str) -> Path:
    """A folder of results to go on in."""
    for top in tops:
        shutil.copytree(root / top, target / top)
    return target
