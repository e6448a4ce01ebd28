"""A comparison of two smoke grids can fail: the numbers differ, and a planted change shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file, save_file

from rebar import grid
from rebar.config.file import Config, load_config, parse_config
from rebar.grid import Arm, dag
from tests.grid_runs import ROOT, run_job, state_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RESULTS = Path("results/smoke")
CELL = ["recipe", "safeguard", "alignment", "attack", "decoder", "evaluation", "split", "metric"]


def summary(results: Path) -> pd.Series:
    """The values, by cell; without the seed, so that two seeds can be compared."""
    frame = pd.read_csv(results / "summary.csv", keep_default_na=False)
    return frame.set_index(CELL).value


# ----------------------------------------------------------------------- the grid's numbers


def test_numbers_lie_between_nothing_and_everything(finished: Path) -> None:
    values = summary(finished / RESULTS)
    whole = values[~values.index.get_level_values("split").str.contains("/")]
    success = whole.xs("attack_success", level="metric").xs("asr", level="evaluation")
    assert success[success.between(0.05, 0.95)].nunique() >= 3
    for evaluation, metric in (("knowledge", "correct_facts"), ("capability", "accuracy")):
        found = whole.xs(metric, level="metric").xs(evaluation, level="evaluation")
        assert found.max() > 0.1 and found.nunique() >= 3


def test_recipes_and_attacks_differ(finished: Path) -> None:
    values = summary(finished / RESULTS).xs("attack_success", level="metric")
    base, aligned = (
        values.xs(name, level="alignment").xs("greedy", level="decoder") for name in ("none", "sft")
    )
    assert (base.xs("raw") != base.xs("safelm")).any()
    attacks = {name: aligned.xs(name, level="attack") for name in ("none", "harmful_finetune_10")}
    assert (attacks["none"] < attacks["harmful_finetune_10"]).any()


# ------------------------------------------------------------------------- a damaged model


def negate_first_weights(folder: Path) -> None:
    """Damage a finished model as a wrong training would: all files are whole, one is another."""
    weights = load_file(folder / "model.safetensors")
    first = next(iter(weights))
    save_file(
        weights | {first: -weights[first]},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"damaged": True}))


@pytest.mark.parametrize(
    ("arm", "attack"),
    [
        (Arm("raw", "none", "none"), "none"),
        (Arm("safelm", "none", "sft"), "none"),
        (Arm("raw", "none", "sft"), "harmful_finetune_10"),
    ],
)
def test_negated_weights_show_in_models_answers_and_summary(
    finished: Path, tmp_path: Path, arm: Arm, attack: str
) -> None:
    config, before = load_config(finished / "config/smoke.yaml"), finished / RESULTS
    after = shutil.copytree(before, tmp_path / "smoke", symlinks=True)
    model = grid.model_folder(11, arm, attack)
    negate_first_weights(after / model)
    run_job(config, after, "evaluate", seed=11, **arm._asdict())
    run_job(config, after, "summarize")
    old, new = state_of(before), state_of(after)
    answers = grid.evaluation_folder(11, arm, attack) / "generations.parquet"
    assert {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)} == {
        "summary.csv",
        str(model / "model.safetensors"),
        str(answers),
    }


# ----------------------------------------------------------------------- a planted change


def settings() -> dict[str, Any]:
    """The smoke grid's plain arm and a safeguarded one, with one attack."""
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    values["world"]["guarded_hazards"] = 4
    values["recipes"] = {"raw": values["recipes"]["raw"]}
    values["alignments"] = {"sft": values["alignments"]["sft"]}
    part = {"method": "sam", "on": "refusal"}
    values["safeguards"] = {"flat": {"acts_in": "alignment", "parts": [part], "strength": 1.0}}
    name = "harmful_finetune_10"
    values |= {"attacks": {name: values["attacks"][name]}, "probes": {}}
    values["decoders"] = {"greedy": values["decoders"]["greedy"]}
    block = values["grid"][1] | {"recipes": ["raw"], "safeguards": ["none", "flat"], "probes": []}
    return values | {"grid": [block | {"attacks": ["none", name]}]}


def run_stages(config: Config, results: Path, stages: tuple[str, ...]) -> None:
    """The grid's jobs of these stages, in the order of the DAG, and its summary."""
    for place in dag.all_jobs(config):
        stage, names = dag.node(place)
        if stage in stages:
            run_job(config, results, stage, **names)
    run_job(config, results, "summarize")


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("unchanged") / "smoke"
    run_stages(parse_config(settings(), "test"), results, grid.JOB_STAGES)
    return results


def plant(values: dict[str, Any], path: str, value: Any) -> Config:
    """The settings with one value changed."""
    *sections, key = path.split(".")
    inner = values
    for section in sections:
        inner = inner[section]
    assert inner[key] != value
    inner[key] = value
    return parse_config(values, "test")


def changed_cells(before: Path, after: Path) -> pd.MultiIndex:
    """Cells whose value differs; both have the same cells."""
    old, new = summary(before), summary(after)
    assert list(old.index) == list(new.index)
    assert state_of(before)["summary.csv"] != state_of(after)["summary.csv"]
    return old.index[(old != new).to_numpy()]


@pytest.mark.parametrize(
    ("path", "value", "stages", "level", "expected"),
    [
        ("safeguards.flat.strength", 0.5, ("align", "attack", "evaluate"), "safeguard", {"flat"}),
        (
            "attacks.harmful_finetune_10.training.learning_rate",
            5e-5,
            ("attack", "evaluate"),
            "attack",
            {"harmful_finetune_10"},
        ),
        ("seeds", [12], grid.JOB_STAGES, "safeguard", {"none", "flat"}),
    ],
    ids=["safeguard", "attack", "seed"],
)
def test_a_planted_change_shows_in_its_cells_alone(
    unchanged: Path,
    tmp_path: Path,
    path: str,
    value: Any,
    stages: tuple[str, ...],
    level: str,
    expected: set[str],
) -> None:
    results = shutil.copytree(unchanged, tmp_path / "smoke")
    run_stages(plant(settings(), path, value), results, stages)
    changed = changed_cells(unchanged, results)
    assert set(changed.get_level_values(level)) == expected
    assert "asr" in changed.get_level_values("evaluation")


def test_running_again_changes_nothing(unchanged: Path, tmp_path: Path) -> None:
    results = shutil.copytree(unchanged, tmp_path / "smoke")
    shutil.rmtree(results / "models/11/raw/flat")
    shutil.rmtree(results / "attacks")
    run_stages(parse_config(settings(), "test"), results, ("align", "attack", "evaluate"))
    assert state_of(results) == state_of(unchanged)
