"""What tuned attackers found: the trials of every search of the grid."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.grid import Arm
from rebar.jobs.formats import read_csv


class Searched(NamedTuple):
    """One search on one model: shares, nan before a model was useful."""

    arm: Arm
    search: str
    seed: int
    best_so_far: list[float]
    own_setting: float  # attack success of the attack as the config sets it


def read_searches(root: Path, config: Config) -> list[Searched]:
    """All searches, in the order of the grid."""
    return [
        _read(root, arm, search, seed)
        for arm in grid.arms(config)
        for search in grid.searches(config, arm)
        for seed in config.seeds
    ]


def _read(root: Path, arm: Arm, search: str, seed: int) -> Searched:
    path = root / grid.model_folder(seed, arm, search) / "trials.csv"
    rows = read_csv(path)
    curve = [float(row["best_so_far"] or "nan") for row in rows]
    return Searched(arm, search, seed, curve, float(rows[0]["attack_success"]))
