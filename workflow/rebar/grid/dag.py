"""The jobs of a config: which reads which, which settings make it up, what it makes.

This is the DAG that the rules declare to Snakemake. A job is known by its folder, relative to
results/<name>. The stages that run once for a whole grid (`summarize`, `report`, `track`) stand
outside: they read everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.config.model import Training
from rebar.config.plugins import SAFEGUARDS
from rebar.config.safeguard import Safeguard
from rebar.grid.arms import Names, acts_in, arms, safeguard_in
from rebar.grid.folders import node
from rebar.grid.nodes import Node, twin_node
from rebar.grid.stages import STAGES, folder, folder_of


def all_jobs(config: Config) -> dict[Path, list[Path]]:
    """Folders of all jobs of the grid, each after those that it reads, with what it reads."""
    found: dict[Path, list[Path]] = {}

    def visit(place: Path) -> None:
        if place not in found:
            stage, wildcards = node(place)
            read = reads(config, stage, **wildcards)
            for other in read:
                visit(other)
            found[place] = read

    for seed in config.seeds:
        for arm in arms(config):
            for stage in STAGES.values():
                if stage.wanted_for and stage.wanted_for(config, arm):
                    visit(folder(stage.name, seed=seed, **arm._asdict()))
    return found


def jobs(places: Iterable[Path], *stages: str) -> list[Path]:
    """Those of `places` that are jobs of the stages."""
    return [place for place in places if node(place).stage in stages]


def items(config: Config, place: Path) -> list[Path]:
    """Folders with a manifest of their own that a job fills beside its own folder."""
    stage, names = node(place)
    items_of = STAGES[stage].items
    return items_of(config, names) if items_of else []


def acting(config: Config, stage: str, wildcards: Names) -> Safeguard | None:
    """The safeguard that changes this job; None where none does."""
    place = STAGES[stage].acts_in
    return safeguard_in(config, place, wildcards) if place else None


def nodes_read(config: Config, stage: str, wildcards: Names) -> list[Node]:
    """Jobs that a job reads; where a safeguard acts, also those of the models it looks at."""
    safeguard = acting(config, stage, wildcards)
    twins = safeguard.twins if safeguard else []
    own = STAGES[stage].reads(config, wildcards)
    return [*own, *(twin_node(int(wildcards["seed"]), twin) for twin in twins)]


def reads(config: Config, stage: str, **wildcards: str | int) -> list[Path]:
    """Folders of the jobs that a job reads, each once."""
    return list(dict.fromkeys(map(folder_of, nodes_read(config, stage, wildcards))))


def settings_of(config: Config, stage: str, wildcards: Names) -> dict[str, Any]:
    """The settings that make up a job, typed as in the config.

    With a safeguard: where the arm's acts, and all of it in the job that it changes.
    """
    settings = STAGES[stage].settings(config, wildcards)
    name = wildcards.get("safeguard", NONE)
    if name == NONE:
        return settings
    settings = settings | {"acts_in": acts_in(config, name)}
    safeguard = acting(config, stage, wildcards)
    return settings | ({"world": config.world, SAFEGUARDS: {name: safeguard}} if safeguard else {})


def training_of(stage: str, wildcards: Names, settings: Mapping[str, Any]) -> Training | None:
    """A job's training if it has one that several processes can share.

    `settings` are those of the job, typed as in the config or plain as in the job's spec.
    """
    found: Any = settings if STAGES[stage].training else None
    for key in STAGES[stage].training:
        found = _inner(found, key.format(**wildcards))
    return None if found is None else Training.model_validate(found)


def _inner(settings: Any, key: str) -> Any:
    return settings.get(key) if isinstance(settings, Mapping) else getattr(settings, key, None)
