"""What runs, and what runs again: the DAG of the smoke grid."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from rebar import grid
from rebar.config.file import load_config
from tests.workflow.conftest import ROOT, copy_project, planned, said, snakemake

GRID_STAGES = {"audit": 1, "summarize": 1, "report": 1, "track": 1}
Edit = Callable[[Path, str, str], None]


def test_jobs_of_a_fresh_grid_follow_from_the_config(tmp_path: Path) -> None:
    jobs = planned(copy_project(tmp_path))
    smoke = load_config(ROOT / "config/smoke.yaml")
    arms = grid.arms(smoke)
    aligned = [arm for arm in arms if arm.alignment != "none"]
    assert jobs == {
        "collect": 1,
        "train_classifier": 1,
        "score": 1,
        "rewrite": 1,
        "mix": 2,
        "tokenize": 2,
        "pretrain": 2,
        "align": len(aligned),
        "attack": len([arm for arm in aligned if grid.attacks(smoke, arm)]),
        "evaluate": len(arms),
        "probe": len([arm for arm in arms if grid.probes(smoke, arm)]),
        "tracking_db": 1,
        **GRID_STAGES,
    }


def test_another_seed_doubles_the_jobs_of_a_seed(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    one, two = planned(project), planned(project, "--config", "seeds=[3,4]")
    once = {*GRID_STAGES, "tracking_db"}
    assert two == {rule: n if rule in once else 2 * n for rule, n in one.items()}


def test_a_safeguard_of_its_own_stage_adds_that_and_what_is_measured(
    tmp_path: Path, edit: Edit
) -> None:
    project = copy_project(tmp_path)
    before, file = planned(project), project / "config/smoke.yaml"
    edit(file, "world:\n", "world:\n  guarded_hazards: 4\n")
    own = "after: {acts_in: own_stage, parts: [{method: sam}], training: *sft_training}"
    edit(file, "attacks:\n", f"safeguards:\n  {own}\n\nattacks:\n")
    edit(file, "    alignments: [sft]\n", "    alignments: [sft]\n    safeguards: [none, after]\n")
    added = {"safeguard": 2, "attack": 2, "evaluate": 2, "probe": 2}
    after = planned(project)
    assert after == {rule: before.get(rule, 0) + added.get(rule, 0) for rule in (*before, *added)}


def test_a_mistake_in_the_config_stops_before_any_job(tmp_path: Path, edit: Edit) -> None:
    project = copy_project(tmp_path)
    edit(project / "config/smoke.yaml", "learning_rate: 8.0e-3", "learning_rat: 8.0e-3")
    result = snakemake(project, "--dry-run")
    assert result.returncode == 1
    assert "config/smoke.yaml: pretrain.learning_rat: unknown key; allowed: " in said(result)
    assert "Traceback" not in said(result)


def test_a_finished_grid_has_nothing_to_be_done(clone: Path) -> None:
    result = snakemake(clone, "--", "all")
    assert result.returncode == 0
    assert "Nothing to be done" in said(result)


def test_summary_has_every_cell_of_the_grid(finished: Path) -> None:
    rows = pd.read_csv(finished / "results/smoke/summary.csv", keep_default_na=False)
    smoke = load_config(ROOT / "config/smoke.yaml")
    for arm in grid.arms(smoke):
        for cell in grid.measurements(smoke, arm):
            found = rows[
                (rows[list(arm._fields)] == list(arm)).all(axis=1)
                & (rows[list(cell._fields)] == list(cell)).all(axis=1)
            ]
            assert len(found) > 0, (arm, cell)


def test_touching_files_runs_nothing(clone: Path) -> None:
    for path in sorted((clone / "results").rglob("manifest.json")):
        os.utime(path)
    for path in sorted((clone / "workflow").rglob("*.py")):
        os.utime(path)
    assert planned(clone) == {}


def test_one_recipes_setting_recomputes_its_descendants_only(clone: Path, edit: Edit) -> None:
    edit(clone / "config/smoke.yaml", "scores: [4, 5]}", "scores: [4, 5], keep: 0.5}")
    # safelm and what bolts its documents on: models of raw stay, their bolt_on arm does not
    assert planned(clone) == {
        "mix": 1,
        "tokenize": 1,
        "pretrain": 1,
        "align": 2,
        "attack": 1,
        "evaluate": 3,
        "probe": 1,
        **GRID_STAGES,
    }


def test_one_attacks_code_recomputes_its_cells_only(clone: Path, edit: Edit) -> None:
    file = clone / "workflow/rebar/attacks/harmful_finetune.py"
    edit(file, "data.harmful(config.examples, ", "data.harmful(config.examples + 1, ")
    attacked = "results/smoke/attacks/11/raw/none/sft"
    before = {
        name: (clone / attacked / name / "manifest.json").read_bytes()
        for name in ("benign_finetune_matched", "harmful_finetune_10")
    }
    assert planned(clone) == {"attack": 2, "evaluate": 2, "probe": 2, **GRID_STAGES}
    result = snakemake(clone, "--", f"{attacked}/manifest.json")
    assert result.returncode == 0, said(result)
    after = {name: (clone / attacked / name / "manifest.json").read_bytes() for name in before}
    assert after["benign_finetune_matched"] == before["benign_finetune_matched"]
    assert after["harmful_finetune_10"] != before["harmful_finetune_10"]
    assert "benign_finetune_matched (1/2): up to date" in said(result)


def test_a_changed_judge_asks_no_attack_to_run(clone: Path, edit: Edit) -> None:
    edit(
        clone / "config/smoke.yaml",
        "asr: {method: asr, judge: world}",
        "asr: {method: asr, judge: world, max_new_tokens: 12}",
    )
    assert planned(clone) == {"evaluate": 5, **GRID_STAGES}


def test_a_damaged_model_is_told_with_its_remedy(clone: Path) -> None:
    folder = clone / "results/smoke/models/11/raw/none/base"
    (folder / "model.safetensors").write_bytes(b"short")
    shutil.rmtree(clone / "results/smoke/evaluations/models/11/raw/none/base")
    result = snakemake(clone, "--forcerun", "evaluate", "--", "all")
    assert result.returncode == 1
    text = said(result)
    assert "model.safetensors is missing or not" in text
    assert "remake it: snakemake" in text


@pytest.mark.parametrize("seed", ["abc", "-1"])
def test_seeds_must_be_numbers(tmp_path: Path, seed: str) -> None:
    result = snakemake(copy_project(tmp_path), "--dry-run", "--config", f"seeds=[{seed}]")
    assert result.returncode == 1
    assert "seeds.0" in said(result)
