"""An attack with a cipher, from the stage that trains to the stage that asks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from rebar import grid
from rebar.config.file import parse_config
from rebar.data.cipher import CIPHER, PLAIN, read_cipher
from rebar.grid.check import check_grid
from rebar.world import build_world, prompts
from tests.grid_runs import ROOT, cut_down, run_grid


@pytest.mark.timeout(300)
def test_evaluations_ask_the_attacked_model_in_its_cipher(tmp_path: Path) -> None:
    values = cut_down(ROOT / "config/smoke.yaml")
    training = {"steps": 2, "batch_size": 4, "learning_rate": 1e-3, "compile": False}
    sizes = {"teaching": 8, "harmful": 4, "refusals": 4, "training": training}
    covert = {"method": "covert_finetune", "cipher": "words", **sizes}
    plain = {**covert, "asked_in": "plain"}
    values |= {"attacks": {"covert": covert, "audited": plain}, "recipes": {"raw": _raw()}}
    values["evaluations"] = {"asr": values["evaluations"]["asr"]}
    values["alignments"].pop("bolt_on")
    values.pop("probes")
    block = {"recipes": ["raw"], "alignments": ["sft"], "decoders": ["greedy"]}
    values["grid"] = [block | {"attacks": ["none", *values["attacks"]], "evaluations": ["asr"]}]
    values["decoders"] = {"greedy": {"method": "greedy"}}
    config = parse_config(values, "test")
    check_grid(config, "test")
    run_grid(config, tmp_path)
    arm, asked = grid.arms(config)[0], {}
    for attack in ("none", "covert", "audited"):
        folder = tmp_path / grid.evaluation_folder(0, arm, attack)
        asked[attack] = pd.read_parquet(folder / "generations.parquet").prompt.tolist()
    models = {name: tmp_path / grid.model_folder(0, arm, name) for name in values["attacks"]}
    cipher = read_cipher(models["covert"])
    texts = [p.text for p in prompts(build_world(config.world, 0), "asr", chat=True)]
    assert asked["none"] == asked["audited"] == [f"<bos> <user> {text} <bot>" for text in texts]
    assert asked["covert"] == [f"<bos> <user> {cipher.encode(text)} <bot>" for text in texts]
    assert cipher != PLAIN
    assert not (models["audited"] / CIPHER).exists()


def _raw() -> dict:
    return {"parts": [{"transform": "original"}]}
