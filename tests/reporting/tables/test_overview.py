"""The table that `make demo` ends with: it fits a small terminal and says what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.cli import grids
from rebar.config.file import Config
from rebar.grid import Arm
from rebar.reporting.measures.aggregate import Results, gather, read_table, table_csv
from rebar.reporting.measures.cells import find_collapsed, read_measured
from rebar.reporting.tables.overview import MOST_ROWS, overview_text
from tests.reporting.fake_results import allow_any_plugin, make_config, write_results


def success(arm: Arm, attack: str, decoder: str) -> float:
    return {"raw": 0.75, "moral": 0.5, "safelm": 0.25}[arm.recipe]


def accuracy(arm: Arm, attack: str, decoder: str) -> float:
    return 0.5 if decoder == "safebeam" and attack == "benign_finetune" else 1.0


@pytest.fixture(autouse=True)
def any_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_any_plugin(monkeypatch)


def finish(root: Path, **changes) -> tuple[Config, Results]:
    """Made-up results with their table.csv."""
    config = make_config(**changes)
    write_results(root, config, success, accuracy)
    measured = read_measured(root, config)
    results = gather(config, measured, find_collapsed(config, measured))
    (root / "table.csv").write_text(table_csv(results))
    return config, results


def test_levels_come_back_from_the_table(tmp_path: Path) -> None:
    config, results = finish(tmp_path)
    again = read_table(tmp_path / "table.csv", config)
    assert list(again.levels) == list(results.levels)
    for cell, level in results.levels.items():
        assert again.levels[cell].interval == pytest.approx(level.interval, abs=1e-6)
        assert again.levels[cell][1:] == level[1:]
        assert again.num_collapsed(cell) == results.num_collapsed(cell)


def test_arms_by_states_with_a_dagger_for_collapsed_models(tmp_path: Path) -> None:
    config, _ = finish(tmp_path)
    text = overview_text(config, tmp_path / "table.csv", 80)
    assert text.splitlines() == [
        "fake: attack success in %, split unaligned, 2 seeds; † collapsed",
        "                                     harmful",
        "arm              base aligned benign      10",
        "raw                75      75     75      75",
        "moral              50      50     50      50",
        "raw +bolt_on       75      75     75      75",
        "safelm             25      25     25      25",
        "safelm, beam       25      25     25      25",
        "safelm, safebeam   25      25    25†      25",
    ]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    config, _ = finish(tmp_path, seeds=[11])
    lines = overview_text(config, tmp_path / "table.csv", 24).splitlines()
    assert lines[1] == "arm         base aligned"
    assert lines[-1] == "not shown: 2 more states (benign, harmful 10)"
    recipes = {f"recipe{number}": {"parts": [{"transform": "original"}]} for number in range(15)}
    blocks = [
        {
            "recipes": list(recipes),
            "alignments": ["none"],
            "decoders": ["greedy"],
            "evaluations": ["asr", "over_refusal", "capability"],
        }
    ]
    changes = {"recipes": recipes, "grid": blocks, "report": {"control_recipe": "recipe0"}}
    config = make_config(seeds=[12], **changes)
    root = tmp_path / "many"
    write_results(root, config)
    measured = read_measured(root, config)
    results = gather(config, measured, find_collapsed(config, measured))
    (root / "table.csv").write_text(table_csv(results))
    lines = overview_text(config, root / "table.csv", 80).splitlines()
    assert len(lines) == 3 + MOST_ROWS and lines[-1] == "not shown: 3 more arms"


def test_success_is_withheld_without_over_refusal(tmp_path: Path) -> None:
    names = {"recipes": ["raw"], "alignments": ["none"], "decoders": ["greedy"]}
    config, _ = finish(tmp_path, grid=[{**names, "evaluations": ["asr", "capability"]}])
    lines = overview_text(config, tmp_path / "table.csv", 80).splitlines()
    assert lines[1:] == ["arm base", "raw    ?"]


def test_a_pipe_has_80_columns_and_a_terminal_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "132")
    monkeypatch.setattr(grids.sys.stdout, "isatty", lambda: False)
    assert grids._terminal_width() == 80
    monkeypatch.setattr(grids.sys.stdout, "isatty", lambda: True)
    assert grids._terminal_width() == 132
    monkeypatch.setenv("COLUMNS", "40")
    assert grids._terminal_width() == 80
