"""The stage: prompt sets with judges of their own, and evaluations that need none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rebar import grid
from rebar.config.file import parse_config
from rebar.corpus.tokenizers import train_tokenizer
from rebar.grid.check import check_grid
from rebar.jobs.job import make_job
from rebar.stages.evaluate import item_spec
from tests.corpus.tiny_models import save_writer
from tests.grid_runs import run_job

JUDGES = {
    "all": {"method": "refusal_phrases", "phrases": [""]},  # every answer is a refusal
    "never": {"method": "refusal_phrases", "phrases": ["(?!)"]},
}


def values(folder: Path) -> dict[str, Any]:
    (folder / "p.txt").write_text("may i\nwhat is it\n")
    (folder / "s.jsonl").write_text('{"s": "may i", "good": "ask", "bad": "go"}\n')
    prompts = {"path": str(folder / "p.txt"), "text": "text"}
    sets = [{**prompts, "split": "mine"}, {**prompts, "split": "other", "judge": "never"}]
    scenarios = {"path": str(folder / "s.jsonl"), "text": "s", "options": ["good", "bad"]}
    return {
        "name": "tiny",
        "recipes": {"own": {"initial_model": str(folder / "model")}},
        "decoders": {"greedy": {"method": "greedy"}},
        "judges": JUDGES,
        "evaluations": {
            "asr": {"method": "asr", "judge": "all", "prompts": sets, "max_new_tokens": 3},
            "misalignment": {
                "method": "misalignment",
                "prompts": [{**scenarios, "split": "scenes"}],
            },
        },
        "report": {"headline_split": "mine", "control_recipe": "own", "control_alignment": "none"},
        "grid": [
            {
                "recipes": ["own"],
                "alignments": ["none"],
                "decoders": ["greedy"],
                "evaluations": ["asr", "misalignment"],
            }
        ],
    }


def test_each_row_names_who_judged_it(tmp_path: Path) -> None:
    save_writer(tmp_path / "model", train_tokenizer(["may i ask", "what is it"], 300))
    config = parse_config(values(tmp_path), "f.yaml")
    check_grid(config, "f.yaml")
    arm = grid.arms(config)[0]
    names = {"seed": 11, "recipe": "own", "safeguard": "none"}
    run_job(config, tmp_path, "pretrain", **names)
    job = run_job(config, tmp_path, "evaluate", **names, alignment="none")
    frame = pd.read_parquet(tmp_path / grid.evaluation_folder(11, arm) / "generations.parquet")
    judged = frame.groupby("split").agg({"judge": set, "outcome": set}).to_dict("index")
    assert judged["mine"] == {"judge": {"all"}, "outcome": {"refused"}}
    assert judged["other"]["judge"] == {"never"} and "refused" not in judged["other"]["outcome"]
    assert judged["scenes"]["judge"] == {"log_probability"}
    spec = item_spec(job, "none", grid.measurements(config, arm))
    assert set(spec["settings"]["judges"]) == {"all", "never"}


def test_a_judge_that_only_a_prompt_set_names_is_used(tmp_path: Path) -> None:
    changed = values(tmp_path)
    changed["judges"]["idle"] = {"method": "refusal_phrases"}
    with pytest.raises(ValueError, match=r"judges.idle: defined, but no evaluation uses it"):
        check_grid(parse_config(changed, "f.yaml"), "f.yaml")
    del changed["judges"]["idle"]
    config = parse_config(changed, "f.yaml")
    names = {"seed": 11, "recipe": "own", "safeguard": "none", "alignment": "none"}
    settings = make_job(config, tmp_path, "evaluate", **names).settings
    assert set(settings["judges"]) == {"all", "never"}
