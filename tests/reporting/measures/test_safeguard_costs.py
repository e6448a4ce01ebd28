"""What a safeguard costs in times its undefended twin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebar import grid
from rebar.config.file import Config
from rebar.grid import Arm
from rebar.reporting.measures.costs import Cost, costs_csv, read_costs
from rebar.reporting.measures.safeguard_costs import SafeguardCost, safeguard_costs
from tests.stages.safeguard_jobs import PLACES, config


def leave(root: Path, folder: str, train_seconds: float, peak_mb: int, **more: float) -> None:
    """The costs of one job."""
    path = root / folder / "costs.json"
    path.parent.mkdir(parents=True)
    numbers = {"seconds": train_seconds + 5, "train_seconds": train_seconds, "peak_mb": peak_mb}
    path.write_text(json.dumps(numbers | more))


@pytest.fixture
def settings() -> Config:
    return config()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    models = tmp_path / "models/0/raw"
    leave(models, "none/base", 80.0, 1000)
    leave(models, "none/sft/aligned", 20.0, 900)
    leave(models, "early/base", 160.0, 1200)
    leave(models, "early/sft/aligned", 20.0, 900)
    leave(models, "during/sft/aligned", 50.0, 990)
    leave(models, "after/sft/released", 30.0, 1800)
    return tmp_path


def test_ratios_are_those_of_its_run_and_of_all_trainings(settings: Config, root: Path) -> None:
    found = safeguard_costs(settings, read_costs(root, settings))
    arms = {name: Arm("raw", name, "sft") for name in PLACES}
    assert found == [
        SafeguardCost(arms["early"], "pretraining", 2.0, 2.0, 1.2, 1.8),
        SafeguardCost(arms["during"], "alignment", 2.0, 2.5, 1.1, 1.3),
        SafeguardCost(arms["after"], "own_stage", 2.0, None, 2.0, 1.3),
    ]


def test_what_left_no_costs_has_no_ratio(settings: Config, root: Path) -> None:
    (root / "models/0/raw/none/sft/aligned/costs.json").unlink()
    early, during, after = safeguard_costs(settings, read_costs(root, settings))
    assert (early.run_seconds, early.all_seconds) == (2.0, None)
    assert during[3:] == after[3:] == (None, None, None)


def test_costs_say_passes_and_seconds_of_trainings(settings: Config, root: Path) -> None:
    lines = costs_csv(read_costs(root, settings)).splitlines()
    assert "pretrain,0,,raw,none,,85.0,1000,80.0,1.0," in lines
    assert "pretrain,0,,raw,early,,165.0,1200,160.0,2.0," in lines
    assert "align,0,,raw,early,sft,25.0,900,20.0,1.0," in lines
    assert "safeguard,0,,raw,after,sft,35.0,1800,30.0,2.0," in lines


def test_memory_is_the_gpus_where_there_is_one() -> None:
    cost = Cost("align", {}, 1.0, 900, 1.0, 1.0, 4000)
    assert cost.peak == 4000
    assert cost._replace(peak_gpu_mb=None).peak == 900


def test_an_unsafeguarded_grid_has_no_table(settings: Config, smoke: Config, root: Path) -> None:
    assert safeguard_costs(smoke, read_costs(root, settings)) == []
    assert {arm.safeguard for arm in grid.arms(smoke)} == {"none"}
