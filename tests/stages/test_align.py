"""Alignment by preferences, from a base model to a folder."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from rebar.config import parse_config
from rebar.job import make_job
from rebar.manifest import read_manifest
from rebar.stages import align, pretrain
from tests.conftest import ROOT
from tests.stages.training_jobs import WILDCARDS, config, pack


def with_dpo():
    """The jobs' config with a second alignment."""
    values = config(steps=8).model_dump(mode="json", exclude_unset=True)
    training = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())["alignments"]["sft"]
    training = training["training"] | {"steps": 40, "batch_size": 8, "compile": False}
    data = {"world_pairs": 40, "benign_share": 0.5}
    values["alignments"]["dpo"] = {"method": "dpo", "training": training, "data": data}
    values["grid"][0]["alignments"] = [*values["grid"][0]["alignments"], "dpo"]
    return parse_config(values, "test")


def test_preferences_train_a_base_model(tmp_path: Path) -> None:
    settings = with_dpo()
    pack(tmp_path, settings)
    pretrain.run(make_job(settings, tmp_path, "pretrain", **WILDCARDS["pretrain"]))
    job = make_job(settings, tmp_path, "align", **{**WILDCARDS["align"], "alignment": "dpo"})
    align.run(job)
    assert read_manifest(job.folder)["counts"] == {"pairs": 40}
    lines = (job.folder / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert losses[-1] < losses[0] - 0.5
