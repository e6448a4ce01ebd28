"""Names to arms, cells and paths: the only place that knows what lies where.

An arm is recipe x safeguard x alignment, a row of the grid. A cell is an arm with attack, decoder,
evaluation and seed, one number of the grid. Everything here is pure: config in, names out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from rebar.config.base import NONE
from rebar.config.decoding import Decoder
from rebar.config.file import Block, Config
from rebar.config.kinds import Attack
from rebar.config.safeguard import Safeguard
from rebar.config.search import TUNED


class Arm(NamedTuple):
    """A row of the grid."""

    recipe: str
    safeguard: str
    alignment: str


class Measurement(NamedTuple):
    """What is measured of an arm: with the seed, a cell."""

    attack: str
    decoder: str
    evaluation: str


# What a folder belongs to, widest first: the order of names in paths, labels and run names.
LINEAGE = ("seed", "recipe", "safeguard", "alignment", "attack", "probe")

FOLDERS = {
    "collect": "corpus/{seed}/collected/{shard}",
    "train_classifier": "classifier/{seed}",
    "score": "corpus/{seed}/scored/{shard}",
    "rewrite": "corpus/{seed}/rewritten/{shard}",
    "mix": "corpus/{seed}/mixed/{recipe}",
    "tokenize": "corpus/{seed}/packed/{recipe}",
    "pretrain": "models/{seed}/{recipe}/{safeguard}/base",
    "align": "models/{seed}/{recipe}/{safeguard}/{alignment}/aligned",
    "safeguard": "models/{seed}/{recipe}/{safeguard}/{alignment}/released",
    "attack": "attacks/{seed}/{recipe}/{safeguard}/{alignment}",
    "search": "searches/{seed}/{recipe}/{safeguard}/{alignment}",
    "evaluate": "evaluations/{seed}/{recipe}/{safeguard}/{alignment}",
    "probe": "probes/{seed}/{recipe}/{safeguard}/{alignment}",
}
# Stages that run once for a whole grid write files of their own beside these folders.
AUDIT = "audit.csv"
GRID_OUTPUTS = {
    "audit": [AUDIT],
    "summarize": ["summary.csv", "metrics.json", "headline.csv", "costs.csv"],
    "report": [
        "report.html",
        "table.md",
        "table.csv",
        "probes.csv",
        "breaks.csv",
        "resistance.csv",
        "conditions.csv",
        "figures",
    ],
    "track": ["tracking.json"],
}
# The stage that a safeguard changes; what lies before it is shared with unsafeguarded arms.
STAGE_OF = {"pretraining": "pretrain", "alignment": "align", "own_stage": "safeguard"}
MODEL_STAGES = tuple(STAGE_OF.values())
STAGES = (*FOLDERS, *GRID_OUTPUTS)  # each after those that it reads
TRAINING_STAGES = (
    "pretrain",
    "align",
    "safeguard",
    "attack",
    "search",
)  # they go on where a signal or a kill ended them


def label(stage: str, wildcards: Mapping[str, Any]) -> str:
    """A job in words, like `pretrain 11/raw/none`."""
    names = [str(wildcards[key]) for key in (*LINEAGE, "shard") if key in wildcards]
    return f"{stage} {'/'.join(names)}".strip()


def typed(wildcards: Mapping[str, Any]) -> dict[str, Any]:
    """Names as a path spells them, with seed and shard as numbers."""
    return {k: int(v) if k in ("seed", "shard") else str(v) for k, v in wildcards.items()}


def lock_file(stage: str, wildcards: Mapping[str, Any]) -> Path:
    """The file that a job keeps locked while it works, relative to results/<name>."""
    return Path("locks") / (label(stage, wildcards).replace(" ", "-").replace("/", "-") + ".lock")


def folder(stage: str, **wildcards: str | int) -> Path:
    """Output folder of a stage, relative to results/<name>."""
    return Path(FOLDERS[stage].format(**wildcards))


def pattern(stage: str) -> str:
    """The stage's manifest with Snakemake wildcards."""
    return FOLDERS[stage] + "/manifest.json"


def maker(place: Path) -> tuple[str, bool]:
    """The stage that makes a folder of results/<name>, and whether it is an item of a job."""
    for stage, place_of_jobs in FOLDERS.items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", place_of_jobs), str(place)):
            return stage, False
    tops = {"attacks": "attack", "searches": "search", "probes": "probe"}
    return tops.get(place.parts[0], "evaluate"), True


def arm_of(wildcards: Mapping[str, Any]) -> Arm:
    """The arm that a job's wildcards name."""
    return Arm(*(str(wildcards[key]) for key in Arm._fields))


class Models(NamedTuple):
    """Folders of an arm's models; where a stage does nothing, its model is the one before."""

    base: Path
    aligned: Path
    released: Path


def models_of(seed: int, arm: Arm, acts_in: str = NONE) -> Models:
    """Where an arm's models lie; `acts_in` is where its safeguard does, `none` without one.

    Models that the safeguard has not yet changed are those of `none`: arms share them.
    """
    assert (arm.safeguard == NONE) == (acts_in == NONE), f"{arm} acts in {acts_in}"
    names = {"seed": seed, **arm._asdict()}
    shared = names | {"safeguard": NONE}
    base = folder("pretrain", **(names if acts_in == "pretraining" else shared))
    if arm.alignment == NONE:
        return Models(base, base, base)
    aligned = folder("align", **(shared if acts_in == "own_stage" else names))
    released = folder("safeguard", **names) if acts_in == "own_stage" else aligned
    return Models(base, aligned, released)


def acts_in(config: Config, safeguard: str) -> str:
    """The run that a safeguard shapes; `none` for none."""
    return NONE if safeguard == NONE else config.safeguards[safeguard].acts_in


def acting(config: Config, stage: str, wildcards: Mapping[str, Any]) -> Safeguard | None:
    """The safeguard that changes this job; None where none does."""
    safeguard = config.safeguards.get(str(wildcards.get("safeguard", NONE)))
    return safeguard if safeguard and STAGE_OF[safeguard.acts_in] == stage else None


def twin_folder(seed: int, twin: str) -> Path:
    """The model that a part of a safeguard is compared with: `recipe`, or `recipe/alignment`."""
    recipe, _, alignment = twin.partition("/")
    return models_of(seed, Arm(recipe, NONE, alignment or NONE)).released


def model_folder(seed: int, arm: Arm, attack: str = NONE, acts_in: str = NONE) -> Path:
    """The model that a cell is measured on; unattacked: the released one."""
    names = {"seed": seed, **arm._asdict()}
    if attack != NONE:
        return folder("search" if is_tuned(attack) else "attack", **names) / attack
    return models_of(seed, arm, acts_in).released


def evaluation_folder(seed: int, arm: Arm, attack: str = NONE, acts_in: str = NONE) -> Path:
    """Where the generations of one model lie."""
    return Path("evaluations") / model_folder(seed, arm, attack, acts_in)


def answers_of(config: Config, seed: int, arm: Arm, attack: str = NONE) -> Path:
    """`evaluation_folder` of a model of the grid."""
    return evaluation_folder(seed, arm, attack, acts_in(config, arm.safeguard))


class _Selected(NamedTuple):
    """What the blocks select of an arm, each once, in the order of the file."""

    measurements: dict[Measurement, None]
    probes: dict[str, None]


@cache
def _cells(blocks: tuple[Block, ...]) -> dict[Arm, _Selected]:
    """Rows of the grid in the order of the file, with what is measured of each; made once."""
    cells: dict[Arm, _Selected] = {}
    for block in blocks:
        measured = product(block.attacks, block.decoders, block.evaluations)
        names = dict.fromkeys(Measurement(*cell) for cell in measured)
        for arm in arms_of(block):
            selected = cells.setdefault(arm, _Selected({}, {}))
            selected.measurements.update(names)
            selected.probes.update(dict.fromkeys(block.probes))
    return cells


def arms_of(block: Block) -> Iterator[Arm]:
    """Rows of one block."""
    for recipe in block.recipes:
        for safeguard in block.safeguards:
            for alignment in block.alignments:
                yield Arm(recipe, safeguard, alignment)


def arms(config: Config) -> list[Arm]:
    """All rows of the grid, in the order of the file."""
    return list(_cells(config.grid))


def measurements(config: Config, arm: Arm) -> list[Measurement]:
    """What is measured of an arm, for one seed."""
    selected = _cells(config.grid).get(arm)
    return list(selected.measurements) if selected else []


def probes(config: Config, arm: Arm) -> list[str]:
    """Probes of an arm's released model."""
    selected = _cells(config.grid).get(arm)
    return list(selected.probes) if selected else []


def probed_attacks(config: Config, probe: str) -> list[str]:
    """Attacks whose directions a probe looks along."""
    return config.probes[probe].looks_along


def attacks(config: Config, arm: Arm) -> list[str]:
    """Attacks on an arm, tuned ones among them, without `none`."""
    names = [m.attack for m in measurements(config, arm)]
    return [name for name in dict.fromkeys(names) if name != NONE]


def is_tuned(attack: str) -> bool:
    """True for the name of a search."""
    return attack.startswith(TUNED)


def attack_behind(config: Config, name: str) -> Attack:
    """Settings of an attack; of a search, those of the attack that it tunes."""
    return config.attacks[config.searches[name].attack if name in config.searches else name]


def fixed_attacks(config: Config, arm: Arm) -> list[str]:
    """Attacks on an arm that run as they are set."""
    return [name for name in attacks(config, arm) if not is_tuned(name)]


def searches(config: Config, arm: Arm) -> list[str]:
    """Tuned attackers of an arm."""
    return [name for name in attacks(config, arm) if is_tuned(name)]


def evaluated(config: Config) -> list[Path]:
    """Where the generations of all models of the grid lie."""
    return [answers_of(config, *model) for model in _models(config)]


def _models(config: Config) -> Iterator[tuple[int, Arm, str]]:
    """Seed, arm and attack of every model that is evaluated."""
    for seed in config.seeds:
        for arm in arms(config):
            for attack in dict.fromkeys(cell.attack for cell in measurements(config, arm)):
                yield seed, arm, attack


def shards(config: Config) -> range:
    """Shards of the corpus."""
    return range(config.collect.shards)


def training_recipes(config: Config) -> list[str]:
    """Recipes that a tokenizer and a pretraining run are needed for."""
    used = dict.fromkeys(arm.recipe for arm in arms(config))
    return [name for name in used if config.recipes[name].parts]


def guard_judges(decoders: Iterable[Decoder]) -> list[str]:
    """Judges that monitor what goes in and out of guarded decoders."""
    monitors = [monitor for decoder in decoders for monitor in decoder.monitors]
    return list(dict.fromkeys(m.judge for m in monitors if m.judge is not None))


def needs_classifier(decoders: Iterable[Decoder]) -> bool:
    """True if a guarded decoder monitors with the run's safety classifier."""
    return any(monitor.judge is None for d in decoders for monitor in d.monitors)


def decoders(config: Config, arm: Arm) -> list[Decoder]:
    """Settings of the decoders that an arm is measured with."""
    names = dict.fromkeys(cell.decoder for cell in measurements(config, arm))
    return [config.decoders[name] for name in names]


def is_tagged(config: Config, arm: Arm) -> bool:
    """True if the arm's model has learned the harmfulness tag."""
    alignment = config.alignments.get(arm.alignment)
    is_taught = alignment is not None and alignment.data.always_tagged
    return config.recipes[arm.recipe].tagged or is_taught
