"""A model folder in, attacks and evaluations out: config/own.yaml on a tiny checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from rebar import grid
from rebar.config.file import parse_config
from rebar.grid import dag
from rebar.grid.check import check_grid
from rebar.model.build import load_model
from tests.corpus.tiny_models import save_writer
from tests.grid_runs import ROOT, run_grid
from tests.workflow.test_shipped_configs import check_report

FILE = ROOT / "config/own.yaml"


def cut_down(folder: Path) -> dict[str, Any]:
    """The shipped config for a model of the folder, with prompts of the folder and two steps."""
    values = json.loads(json.dumps(yaml.safe_load(FILE.read_text())))
    values["recipes"]["own"]["initial_model"] = str(folder / "model")
    for setting in values["attacks"].values():
        setting["training"] |= {"steps": 2, "sequence_length": 320}
    for setting in values["evaluations"].values():
        if "max_new_tokens" in setting:
            setting["max_new_tokens"] = 3
        for prompts in setting["prompts"]:
            prompts["limit"] = 2
            if "benchmark" in prompts:
                (folder / "p.jsonl").write_text(
                    '{"prompt": "may i", "text": "may i", "value": "x"}\n'
                )
                prompts["path"] = str(folder / "p.jsonl")
    return values


def test_a_model_folder_runs_to_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rebar.corpus.tokenizers import train_tokenizer

    monkeypatch.chdir(ROOT)
    save_writer(tmp_path / "model", train_tokenizer(["may i ask", "what is it"], 300))
    config = parse_config(cut_down(tmp_path), FILE.name)
    check_grid(config, FILE.name)
    results = tmp_path / "results"
    run_grid(config, results)
    check_report(config, results)
    rows = pd.read_csv(results / "summary.csv", keep_default_na=False)
    assert {*rows.attack} == {"none", *config.attacks}
    released = grid.models_of(11, grid.arms(config)[0]).released
    before, after = (load_model(f).model for f in (tmp_path / "model", results / released))
    first = {k: v for k, v in after.state_dict().items() if "layers" in k}
    assert all(v.equal(before.state_dict()[k]) for k, v in first.items())


def test_nothing_is_collected_or_pretrained() -> None:
    config = parse_config(yaml.safe_load(FILE.read_text()), FILE.name)
    stages = [dag.node(place).stage for place in dag.all_jobs(config)]
    assert stages == ["pretrain", "align", "attack", "evaluate"]  # pretrain takes the model over


def test_a_recipe_with_parts_needs_documents_and_a_pretraining() -> None:
    values = yaml.safe_load(FILE.read_text())
    values["recipes"]["made"] = {"parts": [{"transform": "original"}]}
    with pytest.raises(ValueError, match=r"own.yaml: collect: this key is required, since 'made'"):
        parse_config(values, FILE.name)
    values["collect"] = {"sources": [{"kind": "world", "documents": 5}]}
    with pytest.raises(ValueError, match=r"own.yaml: pretrain: this key is required"):
        parse_config(values, FILE.name)
    values |= {"collect": {}, "pretrain": {"steps": 1, "learning_rate": 1e-3}}
    with pytest.raises(ValueError, match=r"collect.sources: this key is required"):
        parse_config(values, FILE.name)
