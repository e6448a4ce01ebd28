"""Times and memory of all jobs (`costs.csv`), from the costs.json beside their manifests.

They differ from run to run, so they stand in no manifest and never in `summary.csv`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from rebar import grid
from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.grid import dag
from rebar.jobs.formats import csv_text
from rebar.jobs.manifest import MANIFEST

WILDCARDS = ("seed", "shard", "recipe", "safeguard", "alignment")


class Cost(NamedTuple):
    """One job."""

    stage: str
    wildcards: dict[str, str | int]
    seconds: float
    peak_mb: float  # of the process
    train_seconds: float | None = None  # of a training's steps, without start-up and saving
    passes: float | None = None  # forward-backward passes per step of pretraining, alignment, ...
    peak_gpu_mb: float | None = None

    @property
    def peak(self) -> float:
        """Peak memory of the GPU if the job had one, else of the process."""
        return self.peak_gpu_mb or self.peak_mb


def read_costs(root: Path, config: Config) -> list[Cost]:
    """Read the costs of the grid's jobs in the order of the stages, without jobs that have none."""
    costs, places = [], dag.all_jobs(config)
    for stage in grid.JOB_STAGES:
        for place in dag.jobs(places, stage):
            path = root / place / "costs.json"
            content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if "seconds" in content:  # only the command line writes them
                costs.append(_cost(config, stage, dag.node(place).wildcards, content))
    return costs


def _cost(config: Config, stage: str, names: dict[str, Any], content: dict[str, Any]) -> Cost:
    guard = grid.acting(config, stage, names)
    passes = guard.passes if guard else 1.0
    return Cost(
        stage,
        names,
        content["seconds"],
        content["peak_mb"],
        content.get("train_seconds"),
        passes if stage in grid.MODEL_STAGES and "train_seconds" in content else None,
        content.get("peak_gpu_mb"),
    )


def costs_csv(costs: list[Cost]) -> str:
    """`costs.csv`: stage, wildcards and numbers of each job, empty where a stage has none."""
    return csv_text(("stage", *WILDCARDS, *Cost._fields[2:]), map(_cost_row, costs))


def _cost_row(cost: Cost) -> tuple[Any, ...]:
    return (cost.stage, *(cost.wildcards.get(name) for name in WILDCARDS), *cost[2:])


def forwards_per_step(root: Path, config: Config) -> dict[str, float]:
    """Forward passes per generated token of each decoder, the most over all models."""
    found: dict[str, float] = {}
    for arm in grid.arms(config):
        for attack in (NONE, *grid.attacks(config, arm)):
            for seed in config.seeds:
                path = root / grid.answers_of(config, seed, arm, attack) / MANIFEST
                if path.exists():
                    content = json.loads(path.read_text(encoding="utf-8"))
                    for decoder, forwards in content.get("forwards_per_step", {}).items():
                        found[decoder] = max(forwards, found.get(decoder, 0))
    return found
