"""Names to arms, cells and paths."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rebar import grid
from rebar.config.file import Config, load_config, parse_config
from rebar.cost.resources import resources
from rebar.grid import Arm, Measurement, dag
from rebar.grid.check import check_grid
from rebar.jobs.job import make_job
from tests.config.test_file import changed

ROOT = Path(__file__).parents[2]


def test_arms_and_measurements_are_the_union_of_the_blocks(smoke: Config) -> None:
    assert grid.arms(smoke) == [
        Arm("raw", "none", "none"),
        Arm("safelm", "none", "none"),
        Arm("raw", "none", "sft"),
        Arm("safelm", "none", "sft"),
        Arm("raw", "none", "bolt_on"),
    ]
    cells = grid.measurements(smoke, Arm("safelm", "none", "sft"))
    assert len(cells) == 3 * 4 + 2 * 4
    assert cells[0] == Measurement("none", "greedy", "asr")
    assert cells[-1] == Measurement("none", "safebeam", "capability")
    assert grid.attacks(smoke, Arm("raw", "none", "sft")) == [
        "benign_finetune_matched",
        "harmful_finetune_10",
    ]
    assert grid.attacks(smoke, Arm("raw", "none", "none")) == []
    probes = ["safety_basin", "landscape", "mode_connectivity", "sharpness"]
    assert grid.probes(smoke, Arm("raw", "none", "sft")) == probes
    assert grid.probes(smoke, Arm("raw", "none", "bolt_on")) == []


def test_the_grid_is_enumerated_once(smoke: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    expanded = []
    arms_of, module = grid.arms_of, sys.modules[grid.arms_of.__module__]
    monkeypatch.setattr(module, "arms_of", lambda block: expanded.append(block) or arms_of(block))
    module._cells.cache_clear()
    for place in dag.all_jobs(smoke):
        dag.items(smoke, place)
        stage, names = dag.node(place)
        resources(smoke, stage, names)
        make_job(smoke, Path("results/smoke"), stage, **names)
    assert expanded == list(smoke.grid)


def test_paths_spell_the_lineage() -> None:
    arm = Arm("raw", "none", "sft")
    assert str(grid.model_folder(3, arm)) == "models/3/raw/none/sft/aligned"
    assert str(grid.model_folder(3, arm._replace(alignment="none"))) == "models/3/raw/none/base"
    assert str(grid.model_folder(3, arm, "x")) == "attacks/3/raw/none/sft/x"
    assert str(grid.evaluation_folder(3, arm, "x")) == "evaluations/attacks/3/raw/none/sft/x"
    assert grid.maker(Path("probes/3/raw/none/sft/landscape")) == ("probe", True)
    assert grid.maker(Path("probes/3/raw/none/sft")) == ("probe", False)
    assert grid.STAGES["collect"].folder == "corpus/{seed}/collected/{shard}"


@pytest.mark.parametrize(
    ("path", "value", "sentences"),
    [
        ("grid.0.recipes", ["rav"], ["grid.0.recipes: 'rav' is not defined; allowed: raw, safelm"]),
        ("grid.1.attacks", ["none"], ["attacks.harmful_finetune_10: defined, but no block"]),
        ("grid.0.safeguards", ["sam"], ["grid.0.safeguards: 'sam' is not defined; allowed: none"]),
        (
            "grid.0.decoders",
            ["safebeam"],
            ["grid.0: decoder 'safebeam' needs the harmfulness tag", "'raw'"],
        ),
        ("grid.0.attacks", ["harmful_finetune_10"], ["grid.0: attacks on alignment 'none'"]),
        (
            "evaluations.asr.judge",
            "word",
            ["evaluations.asr.judge: 'word' is not defined; allowed: world"],
        ),
        ("grid.1.probes", ["basin"], ["grid.1.probes: 'basin' is not defined; allowed: "]),
        ("grid.1.probes", ["sharpness"], ["probes.landscape: defined, but no block of grid:"]),
        (
            "grid.0.probes",
            ["sharpness"],
            ["probes.sharpness: selected for alignment 'none' (recipe 'raw'): probes read answers"],
        ),
        (
            "grid.2.probes",
            ["landscape"],
            [
                "probes.landscape.attacks: 'harmful_finetune_10' is made by no block of grid: for "
                "the arm raw/none/bolt_on; allowed: none"
            ],
        ),
        (
            "probes.safety_basin.judge",
            "word",
            ["probes.safety_basin.judge: 'word' is not defined; allowed: world"],
        ),
        ("judges.other", {"method": "world"}, ["judges.other: defined, but no evaluation uses it"]),
        (
            "report",
            {"headline_split": "unalined"},
            ["report.headline_split: 'unalined' is in no cell"],
        ),
        (
            "report",
            {"control_recipe": "rwa"},
            ["report.control_recipe: 'rwa'", "allowed: raw, safelm"],
        ),
        (
            "report",
            {"generalisation_splits": ["novle"]},
            ["report.generalisation_splits: 'novle'", "unrewritten, novel"],
        ),
        (
            "alignments.bolt_on.data.recipe",
            "moral",
            ["alignments.bolt_on.recipe: 'moral' is not defined"],
        ),
    ],
)
def test_names_that_do_not_fit_are_told_with_block_and_reason(
    path: str, value: object, sentences: list[str]
) -> None:
    config = parse_config(changed(path, value), "f.yaml")
    with pytest.raises(ValueError) as error:
        check_grid(config, "f.yaml")
    for sentence in sentences:
        assert f"f.yaml: {sentence}" in str(error.value) or sentence in str(error.value)


def test_tags_come_from_the_recipe_or_from_alignment() -> None:
    ladder = load_config(ROOT / "config/ladder.yaml")
    assert grid.is_tagged(ladder, Arm("raw_tag", "none", "none"))
    assert not grid.is_tagged(ladder, Arm("raw", "none", "none"))
    assert grid.is_tagged(ladder, Arm("raw", "none", "sft_tag"))
