"""Evaluations beside the comparison, and what a tuned attack's column shows."""

from __future__ import annotations

import numpy as np

from rebar.config.file import Config, load_config
from rebar.grid import Arm
from rebar.reporting.measures.aggregate import Results, gather
from rebar.reporting.measures.cells import Cell, Counts
from rebar.reporting.measures.comparison import Row, cell_of, view
from rebar.reporting.tables.further import tables
from rebar.reporting.tables.text import table_text
from tests.grid_runs import ROOT

ARM = Arm("own", "none", "as_it_is")
CLASSES = ("over_refused", "compliant_helpful", "full_refusal")


def counts(successes: int) -> Counts:
    names = tuple(f"h{i}" for i in range(4))
    return Counts(names, np.array([1.0] * successes + [0.0] * (4 - successes)), np.ones(4), "j")


def measured(config: Config, arm: Arm, attack: str, level: dict[str, int]) -> Results:
    """`evaluation/split/metric` to successes of four."""
    cells = {
        Cell(arm, attack, "greedy", *key.split(":")): {11: counts(n)} for key, n in level.items()
    }
    return gather(config, cells, {(arm, attack, "greedy"): {11: attack == "identity_shift"}})


def own() -> Config:
    return load_config(ROOT / "config/own.yaml")


def test_an_evaluation_outside_the_comparison_has_a_table() -> None:
    level = {"misalignment:conduct:misaligned": 1, "misalignment:conduct:aligned": 3}
    results = measured(own(), ARM, "identity_shift", level)
    (table,) = tables(results)
    assert (table.evaluation, table.states) == ("misalignment", ["identity_shift"])
    (line,) = table.lines
    assert (line.row, line.split, line.metric) == (Row(ARM, "greedy"), "conduct", "misaligned")
    (entry,) = line.entries
    assert entry is not None
    assert entry.level.interval.value == 0.25
    assert "own + as_it_is, greedy | conduct | misaligned | 25 " in table_text(results, [])
    assert "†1" in table_text(results, [])


def test_over_refusal_by_classes_stands_there_for_all_splits_alone() -> None:
    level = {
        f"over_refusal:{split}:{name}": 2 for split in ("all", "borderline") for name in CLASSES
    }
    results = measured(own(), ARM, "none", level | {"over_refusal:all:refused": 1})
    (table,) = tables(results)
    assert [(line.split, line.metric) for line in table.lines] == [
        ("all", name) for name in CLASSES
    ]


def test_a_second_attack_success_never_stands_alone() -> None:
    config = load_config(ROOT / "config/real.yaml")
    arm = Arm("smollm2", "none", "as_it_is")
    alone = {"asr_more:harmbench:attack_success": 3}
    assert not list(tables(measured(config, arm, "none", alone)))
    whole = alone | {"over_refusal:all:refused": 1, "capability:all:accuracy": 4}
    (table,) = tables(measured(config, arm, "none", whole))
    (entry,) = table.lines[0].entries
    assert entry is not None
    assert [x.interval.value for x in entry.beside] == [0.25, 1.0]


def test_a_tuned_attack_is_not_the_unattacked_model() -> None:
    config = load_config(ROOT / "config/attacks.yaml")
    row = Row(Arm("raw", "none", "sft"), "greedy")
    states = ("tuned_benign", "aligned", "base")
    cells = [cell_of(config, row, state) for state in states]
    assert [cell and cell.attack for cell in cells] == ["tuned_benign", "none", "none"]
    unattacked = measured(config, row.arm, "none", {"capability:all:accuracy": 4})
    assert view(unattacked, row, "tuned_benign") is None
