"""Which job reads which: the DAG of a config, the one that the rules declare to Snakemake.

A job is known by its folder, relative to results/<name>. The stages that run once for a whole grid
(`summarize`, `report`, `track`) stand outside: they read everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.grid import FOLDERS, folder


class Node(NamedTuple):
    """A job: its stage, and the names that tell it from the stage's other jobs."""

    stage: str
    wildcards: dict[str, Any]


def node(place: Path) -> Node:
    """The job whose folder this is."""
    for stage, pattern in _patterns().items():
        if found := pattern.fullmatch(str(place)):
            return Node(stage, grid.typed(found.groupdict()))
    raise ValueError(f"{place} is the folder of no job; jobs write {', '.join(FOLDERS.values())}")


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {
        stage: re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", place))
        for stage, place in FOLDERS.items()
    }


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
        for arm in grid.arms(config):
            visit(folder("evaluate", seed=seed, **arm._asdict()))
            if grid.probes(config, arm):
                visit(folder("probe", seed=seed, **arm._asdict()))
    return found


def jobs(places: Iterable[Path], *stages: str) -> list[Path]:
    """Those of `places` that are jobs of the stages."""
    return [place for place in places if node(place).stage in stages]


def items(config: Config, place: Path) -> list[Path]:
    """Folders with a manifest of their own that a job fills beside its own folder."""
    stage, names = node(place)
    of_models = {"attack": grid.fixed_attacks, "search": grid.searches, "probe": grid.probes}
    if stage not in (*of_models, "evaluate"):
        return []
    arm = grid.arm_of(names)
    if stage in of_models:
        return [place / name for name in of_models[stage](config, arm)]
    attacks = dict.fromkeys(cell.attack for cell in grid.measurements(config, arm))
    return [grid.answers_of(config, names["seed"], arm, attack) for attack in attacks]


def reads(config: Config, stage: str, **wildcards: str | int) -> list[Path]:
    """Folders that a job reads; where a safeguard acts, also the models that it looks at."""
    safeguard = grid.acting(config, stage, wildcards)
    twins = safeguard.twins if safeguard else []
    others = [grid.twin_folder(int(wildcards["seed"]), twin) for twin in twins]
    return list(dict.fromkeys([*_READS[stage](config, wildcards), *others]))


def _mix_reads(config: Config, wildcards: Mapping[str, Any]) -> list[Path]:
    stages = ("score", "rewrite")
    return [folder(s, **wildcards, shard=i) for s in stages for i in grid.shards(config)]


def _tokenize_reads(config: Config, wildcards: Mapping[str, Any]) -> list[Path]:
    """The recipe's documents; the tokenizer's sample, which is the same for all recipes."""
    collected = [folder("collect", **wildcards, shard=i) for i in grid.shards(config)]
    return [folder("mix", **wildcards), *collected]


def _pretrain_reads(config: Config, wildcards: Mapping[str, Any]) -> list[Path]:
    has_corpus = config.recipes[wildcards["recipe"]].parts
    return [folder("tokenize", **wildcards)] if has_corpus else []


def _models(config: Config, wildcards: Mapping[str, Any]) -> grid.Models:
    """The models of the arm that a job is for."""
    arm = grid.arm_of(wildcards)
    return grid.models_of(wildcards["seed"], arm, grid.acts_in(config, arm.safeguard))


def _align_reads(config: Config, wildcards: Mapping[str, Any]) -> list[Path]:
    """The base model, the recipe's documents for replay, and those that are bolted on."""
    data = config.alignments[wildcards["alignment"]].data
    paths = [_models(config, wildcards).base]
    if config.recipes[wildcards["recipe"]].parts and data.replay_share > 0:
        paths.append(folder("mix", **wildcards))
    if data.recipe:
        bolted = {**wildcards, "recipe": data.recipe}
        paths += [folder("mix", **bolted), folder("tokenize", **bolted)]
    return paths


def _attack_reads(config: Config, wildcards: Mapping[str, Any]) -> list[Path]:
    """The released model; its base where an attack goes back towards it."""
    arm = grid.arm_of(wildcards)
    settings = [config.attacks[name] for name in grid.fixed_attacks(config, arm)]
    reads_base = any(setting.reads_base for setting in settings)
    models = _models(config, wildcards)
    return [models.released, *([models.base] if reads_base else [])]


def _evaluate_reads(config: Config, wildcards: Mapping[str, Any]) -> list[Path]:
    arm = grid.arm_of(wildcards)
    attacked = [folder("attack", **wildcards)] if grid.fixed_attacks(config, arm) else []
    tuned = [folder("search", **wildcards)] if grid.searches(config, arm) else []
    guards = grid.needs_classifier(grid.decoders(config, arm))
    classifier = [folder("train_classifier", **wildcards)] if guards else []
    return [_models(config, wildcards).released, *attacked, *tuned, *classifier]


def _probe_reads(config: Config, wildcards: Mapping[str, Any]) -> list[Path]:
    """The released model, and the attacked ones where a probe looks along an attack."""
    arm = grid.arm_of(wildcards)
    along = any(grid.probed_attacks(config, probe) for probe in grid.probes(config, arm))
    attacked = [folder("attack", **wildcards)] if along else []
    return [_models(config, wildcards).released, *attacked]


_READS = {
    "collect": lambda config, w: [],
    "train_classifier": lambda config, w: [],
    "score": lambda config, w: [folder("collect", **w), folder("train_classifier", **w)],
    "rewrite": lambda config, w: [folder("score", **w), folder("train_classifier", **w)],
    "mix": _mix_reads,
    "tokenize": _tokenize_reads,
    "pretrain": _pretrain_reads,
    "align": _align_reads,
    "safeguard": lambda config, w: [_models(config, w).aligned],
    "attack": _attack_reads,
    "search": lambda config, w: [_models(config, w).released],
    "evaluate": _evaluate_reads,
    "probe": _probe_reads,
}
