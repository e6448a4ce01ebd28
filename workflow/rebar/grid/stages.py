"""The stages: one entry each, in the order of the pipeline. This table is their only description.

A stage is a step of the DAG: one entry here, one rule in workflow/rules/, and one module in stages/
with the function `run(job)`, all of the same name. Snakemake's rules, the plan, the status, the
records in git, the tracking store and the command line take what they know of a stage from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.grid import items, reads, settings, workloads
from rebar.grid.arms import (
    Arm,
    Names,
    acts_in,
    arm_of,
    arms,
    evaluated_attacks,
    fixed_attacks,
    is_tuned,
    probes,
    searches,
)
from rebar.grid.items import ItemParts
from rebar.grid.nodes import Models, Node, model_nodes
from rebar.grid.workloads import Workload

AUDIT = "audit.csv"


@dataclass(frozen=True)
class Stage:
    """What is known of a stage: where its jobs write, what they read, use and cost."""

    name: str
    # The Snakemake target, and the stage of dvc.yaml, that makes it.
    target: str
    # The settings that make up a job; the job runs again when one of them changes.
    settings: Callable[[Config, Names], dict[str, Any]]
    # Folder of a job below results/<name>; empty for a stage that runs once for the whole grid.
    folder: str = ""
    # Files below results/<name> of a stage that runs once for the whole grid.
    files: tuple[str, ...] = ()
    # The jobs that a job reads. A stage of the whole grid reads all that its rule names.
    reads: Callable[[Config, Names], list[Node]] = reads.nothing
    # Arms for which a job is made although no other job reads it.
    wanted_for: Callable[[Config, Arm], bool] | None = None
    # What a job costs; None: it runs beside the driver and asks for nothing.
    workload: Callable[[Config, Names], Workload] | None = None
    # Folders with a manifest of their own that a job fills beside its own folder, and what one
    # of them depends on; `item_wildcard` is the name that tells a job's items apart.
    items: Callable[[Config, Names], list[Path]] | None = None
    item_parts: Callable[[Any, str], ItemParts] | None = None
    item_wildcard: str = ""
    # Goes on where a signal or a kill has ended it.
    trains: bool = False
    # Keys of the job's settings that lead to its training, if several processes can share it.
    training: tuple[str, ...] = ()
    # Key of the settings whose every name is a training of its own, which is an item of the job.
    trained_items: str = ""
    # Safeguards with this `acts_in` change it; the stage before it is shared with other arms.
    acts_in: str = ""
    # Its jobs run the plug-ins that their settings name, whose code counts as the job's.
    runs_plugins: bool = False
    # Sections and keys of the config, beside its own section, whose Hub ids it reads.
    hub_keys: tuple[str, ...] = ()
    # Where the code of its jobs is, if not in the function `run` of stages/<name>.py.
    other_module: str = ""
    function: str = "run"

    @property
    def module(self) -> str:
        """The module that a job runs."""
        return self.other_module or f"rebar.stages.{self.name}"

    @property
    def top(self) -> str:
        """First folder below results/<name> of its jobs and their items."""
        return self.folder.partition("/")[0]


_TABLE = (
    Stage(
        "collect",
        target="corpus",
        folder="corpus/{seed}/collected/{shard}",
        settings=settings.collect,
        workload=workloads.collect,
    ),
    Stage(
        "train_classifier",
        target="corpus",
        folder="classifier/{seed}",
        settings=settings.train_classifier,
        workload=workloads.train_classifier,
    ),
    Stage(
        "score",
        target="corpus",
        folder="corpus/{seed}/scored/{shard}",
        reads=reads.score,
        settings=settings.score,
        workload=workloads.score,
        hub_keys=("train_classifier.encoder",),
    ),
    Stage(
        "rewrite",
        target="corpus",
        folder="corpus/{seed}/rewritten/{shard}",
        reads=reads.rewrite,
        settings=settings.rewrite,
        workload=workloads.rewrite,
        hub_keys=("train_classifier.encoder",),
    ),
    Stage(
        "mix",
        target="corpus",
        folder="corpus/{seed}/mixed/{recipe}",
        reads=reads.mix,
        settings=settings.mix,
        workload=workloads.mix,
    ),
    Stage(
        "tokenize",
        target="corpus",
        folder="corpus/{seed}/packed/{recipe}",
        reads=reads.tokenize,
        settings=settings.tokenize,
        workload=workloads.tokenize,
    ),
    Stage(
        "pretrain",
        target="models",
        folder="models/{seed}/{recipe}/{safeguard}/base",
        reads=reads.pretrain,
        settings=settings.pretrain,
        workload=workloads.pretrain,
        trains=True,
        training=("pretrain",),
        acts_in="pretraining",
        hub_keys=("recipes", "safeguards"),
    ),
    Stage(
        "align",
        target="models",
        folder="models/{seed}/{recipe}/{safeguard}/{alignment}/aligned",
        reads=reads.align,
        settings=settings.align,
        workload=workloads.align,
        trains=True,
        training=("alignments", "{alignment}", "training"),
        acts_in="alignment",
        runs_plugins=True,
        hub_keys=("alignments", "safeguards"),
    ),
    Stage(
        "safeguard",
        target="models",
        folder="models/{seed}/{recipe}/{safeguard}/{alignment}/released",
        reads=reads.safeguard,
        settings=settings.safeguard,
        workload=workloads.safeguard,
        trains=True,
        training=("safeguards", "{safeguard}", "training"),
        acts_in="own_stage",
        hub_keys=("safeguards",),
    ),
    Stage(
        "attack",
        target="attacks",
        folder="attacks/{seed}/{recipe}/{safeguard}/{alignment}",
        reads=reads.attack,
        settings=settings.attack,
        workload=workloads.attack,
        items=lambda config, names: _inside("attack", names, fixed_attacks(config, arm_of(names))),
        item_parts=items.attack,
        item_wildcard="attack",
        trains=True,
        trained_items="attacks",
        runs_plugins=True,
        hub_keys=("attacks", "evaluations", "judges"),
    ),
    Stage(
        "search",
        target="attacks",
        folder="searches/{seed}/{recipe}/{safeguard}/{alignment}",
        reads=reads.search,
        settings=settings.search,
        workload=workloads.search,
        items=lambda config, names: _inside("search", names, searches(config, arm_of(names))),
        item_parts=items.search,
        item_wildcard="attack",
        trains=True,
        trained_items="searches",
        runs_plugins=True,
        hub_keys=("attacks", "searches", "evaluations", "judges"),
    ),
    Stage(
        "evaluate",
        target="evaluations",
        folder="evaluations/{seed}/{recipe}/{safeguard}/{alignment}",
        reads=reads.evaluate,
        settings=settings.evaluate,
        wanted_for=lambda config, arm: True,
        workload=workloads.evaluate,
        items=lambda config, names: _answers_of_arm(config, names["seed"], arm_of(names)),
        runs_plugins=True,
        hub_keys=("evaluations", "judges"),
    ),
    Stage(
        "probe",
        target="probes",
        folder="probes/{seed}/{recipe}/{safeguard}/{alignment}",
        reads=reads.probe,
        settings=settings.probe,
        wanted_for=lambda config, arm: bool(probes(config, arm)),
        workload=workloads.probe,
        items=lambda config, names: _inside("probe", names, probes(config, arm_of(names))),
        item_parts=items.probe,
        item_wildcard="probe",
        runs_plugins=True,
        hub_keys=("probes", "judges"),
    ),
    Stage(
        "audit",
        target="all",
        files=(AUDIT,),
        settings=lambda config, names: {
            "audit": config.audit,
            "judges": config.judges,
            "answers": [str(folder) for folder in evaluated(config)],
        },
        workload=workloads.audit,
        runs_plugins=True,
        hub_keys=("judges",),
    ),
    Stage(
        "summarize",
        target="all",
        files=("summary.csv", "metrics.json", "headline.csv", "costs.csv"),
        settings=settings.whole_grid,
    ),
    Stage(
        "report",
        target="all",
        files=(
            *("report.html", "table.md", "table.csv", "probes.csv", "breaks.csv"),
            *("resistance.csv", "conditions.csv", "figures"),
        ),
        settings=settings.whole_grid,
    ),
    Stage(
        "track",
        target="all",
        files=("tracking.json",),
        settings=lambda config, names: {"name": config.name},
        other_module="rebar.tracking.store",
        function="import_results",
    ),
)
STAGES = {stage.name: stage for stage in _TABLE}  # each after those that it reads
# Stages with a job for every shard, recipe, model, ...; the others run once for the whole grid.
JOB_STAGES = tuple(stage.name for stage in _TABLE if stage.folder)
TRAINING_STAGES = tuple(stage.name for stage in _TABLE if stage.trains)
MODEL_STAGES = tuple(stage.name for stage in _TABLE if stage.acts_in)  # safeguards change these
TARGETS = tuple(dict.fromkeys(stage.target for stage in _TABLE))


def stages_of_target(target: str) -> list[str]:
    """Stages with jobs that a target adds to those of the targets before it."""
    return [name for name in JOB_STAGES if STAGES[name].target == target]


def folder(stage: str, **wildcards: str | int) -> Path:
    """Output folder of a job, relative to results/<name>."""
    return Path(STAGES[stage].folder.format(**wildcards))


def folder_of(node: Node) -> Path:
    """Output folder of a job, relative to results/<name>."""
    return folder(node.stage, **node.wildcards)


def _inside(stage: str, wildcards: Names, names: list[str]) -> list[Path]:
    """Items that lie in the folder of their job."""
    return [folder(stage, **wildcards) / name for name in names]


def models_of(seed: int, arm: Arm, acts_in: str = NONE) -> Models[Path]:
    """Folders of an arm's models; `acts_in` is where its safeguard does, `none` without one."""
    return Models(*map(folder_of, model_nodes(seed, arm, acts_in)))


def model_folder(seed: int, arm: Arm, attack: str = NONE, acts_in: str = NONE) -> Path:
    """The model that a cell is measured on; unattacked: the released one."""
    if attack != NONE:
        stage = "search" if is_tuned(attack) else "attack"
        return folder(stage, seed=seed, **arm._asdict()) / attack
    return models_of(seed, arm, acts_in).released


def evaluation_folder(seed: int, arm: Arm, attack: str = NONE, acts_in: str = NONE) -> Path:
    """Where the generations of one model lie."""
    return Path("evaluations") / model_folder(seed, arm, attack, acts_in)


def answers_of(config: Config, seed: int, arm: Arm, attack: str = NONE) -> Path:
    """`evaluation_folder` of a model of the grid."""
    return evaluation_folder(seed, arm, attack, acts_in(config, arm.safeguard))


def _answers_of_arm(config: Config, seed: int, arm: Arm) -> list[Path]:
    """Where the generations of all models of an arm lie, one for each attack and for none."""
    return [answers_of(config, seed, arm, attack) for attack in evaluated_attacks(config, arm)]


def evaluated(config: Config) -> list[Path]:
    """Where the generations of all models of the grid lie."""
    return list(_all_answers(config))


def _all_answers(config: Config) -> Iterator[Path]:
    for seed in config.seeds:
        for arm in arms(config):
            yield from _answers_of_arm(config, seed, arm)
