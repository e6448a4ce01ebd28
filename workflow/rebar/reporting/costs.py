"""Times and memory of all jobs (`costs.csv`), from the costs.json beside their manifests.

They differ from run to run, so they stand in no manifest and never in `summary.csv`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from rebar import dag, grid
from rebar.config import NONE, Config
from rebar.manifest import MANIFEST

WILDCARDS = ("seed", "shard", "recipe", "safeguard", "alignment")


class Cost(NamedTuple):
    """One job."""

    stage: str
    wildcards: dict[str, str | int]
    seconds: float
    peak_mb: float


def read_costs(root: Path, config: Config) -> list[Cost]:
    """Costs of the grid's jobs in the order of the stages; jobs that left none are not listed."""
    costs, places = [], dag.all_jobs(config)
    for stage in grid.FOLDERS:
        for place in dag.jobs(places, stage):
            path = root / place / "costs.json"
            content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if "seconds" in content:  # a stage called without the command line leaves none
                names = dag.node(place).wildcards
                costs.append(Cost(stage, names, content["seconds"], content["peak_mb"]))
    return costs


def costs_lines(costs: list[Cost]) -> list[str]:
    """`costs.csv`: stage, wildcards (empty where a stage has none), seconds, peak MB."""
    lines = [",".join(("stage", *WILDCARDS, "seconds", "peak_mb"))]
    for cost in costs:
        values = (cost.wildcards.get(name, "") for name in WILDCARDS)
        lines.append(",".join(map(str, (cost.stage, *values, cost.seconds, cost.peak_mb))))
    return lines


def forwards_per_step(root: Path, config: Config) -> dict[str, float]:
    """Forward passes a generated token of each decoder, the most over all models."""
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
