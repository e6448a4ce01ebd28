"""Poison stands in the comparison with its trigger and without."""

from __future__ import annotations

import numpy as np

from rebar.config.file import Config, load_config
from rebar.grid import Arm, arms
from rebar.reporting.measures.aggregate import Results, gather
from rebar.reporting.measures.cells import Cell, Counts
from rebar.reporting.measures.poisoning import SPLITS
from rebar.reporting.tables.text import table_text
from tests.grid_runs import ROOT


def counts(successes: int) -> Counts:
    names = tuple(f"h{i}" for i in range(4))
    return Counts(names, np.array([1.0] * successes + [0.0] * (4 - successes)), np.ones(4), "world")


def measured(config: Config) -> Results:
    """Half of the triggered answers of poisoned base models are what the attacker wants."""
    cells = {}
    for arm in arms(config):
        for with_poison, without in SPLITS.values():
            reached = 2 if arm.recipe != "raw" and arm.alignment == "none" else 0
            for split, successes in ((with_poison, reached), (without, 0)):
                cell = Cell(arm, "none", "greedy", "poisoning", split, "poison_success")
                cells[cell] = {11: counts(successes)}
    collapsed = {(arm, "none", "greedy"): {11: None} for arm in arms(config)}
    return gather(config, cells, collapsed)


def test_a_poisoned_recipe_shows_its_own_aim_a_clean_one_all() -> None:
    results = measured(load_config(ROOT / "config/poison.yaml"))
    text = table_text(results, []).partition("## What poison achieved")[2]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    found = [[part.strip() for part in line.strip("| ").split("|")] for line in lines]
    names = [(line[0].split(" ")[0], line[1]) for line in found if line[0] != "-" * len(line[0])]
    assert names[:4] == [("raw", kind.replace("_", " ")) for kind in SPLITS]
    assert ("poison_jailbreak", "jailbreak") in names
    assert len(names) == 4 + 7
    (jailbreak,) = [line for line in found if line[0].startswith("poison_jailbreak")]
    assert jailbreak[2].startswith("50 ") and " / 0 " in jailbreak[2]
    assert jailbreak[3].startswith("0 ")


def test_a_grid_without_the_evaluation_has_no_such_table() -> None:
    config = load_config(ROOT / "config/smoke.yaml")
    arm = Arm("raw", "none", "none")
    cell = Cell(arm, "none", "greedy", "asr", "unaligned", "attack_success")
    results = gather(config, {cell: {11: counts(1)}}, {(arm, "none", "greedy"): {11: None}})
    assert "poison" not in table_text(results, [])
