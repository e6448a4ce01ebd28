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

from rebar.config import NONE, TUNED, Block, Config
from rebar.corpus_settings import HAZARD_GROUPS


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
        "figures",
    ],
    "track": ["tracking.json"],
}
STAGES = (*FOLDERS, *GRID_OUTPUTS)  # each after those that it reads
TRAINING_STAGES = (
    "pretrain",
    "align",
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


def model_folder(seed: int, arm: Arm, attack: str = NONE) -> Path:
    """The model that a cell is measured on; unattacked: the released one."""
    names = {"seed": seed, **arm._asdict()}
    if attack != NONE:
        return folder("search" if is_tuned(attack) else "attack", **names) / attack
    return released_folder(seed, arm)


def released_folder(seed: int, arm: Arm) -> Path:
    """The arm's released model: aligned, or the base where there is no alignment."""
    names = {"seed": seed, **arm._asdict()}
    return folder("pretrain" if arm.alignment == NONE else "align", **names)


def evaluation_folder(seed: int, arm: Arm, attack: str = NONE) -> Path:
    """Where the generations of one model lie."""
    return Path("evaluations") / model_folder(seed, arm, attack)


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
        for arm in _arms_of(block):
            selected = cells.setdefault(arm, _Selected({}, {}))
            selected.measurements.update(names)
            selected.probes.update(dict.fromkeys(block.probes))
    return cells


def _arms_of(block: Block) -> Iterator[Arm]:
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
    return list(getattr(config.probes[probe], "attacks", ()))


def attacks(config: Config, arm: Arm) -> list[str]:
    """Attacks on an arm, tuned ones among them, without `none`."""
    names = [m.attack for m in measurements(config, arm)]
    return [name for name in dict.fromkeys(names) if name != NONE]


def is_tuned(attack: str) -> bool:
    """True for the name of a search."""
    return attack.startswith(TUNED)


def fixed_attacks(config: Config, arm: Arm) -> list[str]:
    """Attacks on an arm that run as they are set."""
    return [name for name in attacks(config, arm) if not is_tuned(name)]


def searches(config: Config, arm: Arm) -> list[str]:
    """Tuned attackers of an arm."""
    return [name for name in attacks(config, arm) if is_tuned(name)]


def models(config: Config) -> Iterator[tuple[int, Arm, str]]:
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


def check(config: Config, file: str) -> None:
    """Raise ValueError for names that do not fit together; names file, key and what is allowed."""
    problems = [
        *_unknown_names(config),
        *_unused_names(config),
        *_impossible_cells(config),
        *_impossible_probes(config),
        *_unknown_report_names(config),
    ]
    if problems:
        raise ValueError("\n".join(f"{file}: {problem}" for problem in problems))


SELECTABLE = ("recipes", "alignments", "attacks", "decoders", "evaluations", "probes")


def _defined(config: Config, kind: str) -> list[str]:
    extra = [NONE] if kind in ("alignments", "attacks", "safeguards") else []
    tuned = config.searches if kind == "attacks" else ()
    return [*extra, *getattr(config, kind, {}), *tuned]


def _unknown_names(config: Config) -> Iterator[str]:
    for index, block in enumerate(config.grid):
        for kind in (*SELECTABLE, "safeguards"):
            for name in getattr(block, kind):
                if name not in _defined(config, kind):
                    allowed = ", ".join(_defined(config, kind))
                    yield f"grid.{index}.{kind}: '{name}' is not defined; allowed: {allowed}"
    for kind, name, judge in _judge_references(config):
        if judge not in config.judges:
            allowed = ", ".join(config.judges) or "none is defined under judges:"
            yield f"{kind}.{name}.judge: '{judge}' is not defined; allowed: {allowed}"
    for key, name, allowed in _bench_references(config):
        if name not in allowed:
            yield f"{key}: '{name}' is not defined; allowed: {', '.join(allowed)}"
    for name in guard_judges(config.decoders.values()):
        if name not in config.judges:
            allowed = ", ".join(config.judges) or "none is defined under judges:"
            yield f"decoders: judge '{name}' of a guard is not defined; allowed: {allowed}"
    for name in config.audit.second_judges:
        if name not in config.judges:
            allowed = ", ".join(config.judges) or "none is defined under judges:"
            yield f"audit.second_judges: '{name}' is not defined; allowed: {allowed}"
    for kind, name, other in _recipe_references(config):
        if other not in config.recipes:
            allowed = ", ".join(config.recipes)
            yield f"{kind}.{name}.recipe: '{other}' is not defined; allowed: {allowed}"


def _bench_references(config: Config) -> Iterator[tuple[str, str, list[str]]]:
    """Names in searches and in cost_to_break: where they stand, and what is allowed."""
    for name, search in config.searches.items():
        yield f"searches.{name}.attack", search.attack, list(config.attacks)
    watch = config.cost_to_break
    yield from (("cost_to_break.attacks", name, list(config.attacks)) for name in watch.attacks)
    askers = {f"searches.{name}": search for name, search in config.searches.items()}
    askers |= {"cost_to_break": watch} if watch.attacks else {}
    for place, asker in askers.items():
        yield f"{place}.asr", asker.asr, list(config.evaluations)
        yield f"{place}.capability", asker.capability, list(config.evaluations)


def judges_of(setting: Any) -> list[str]:
    """Judges of an evaluation's settings: its own, if it has one, and those of its prompt sets."""
    own = getattr(setting, "judge", None)
    others = [file.judge for file in getattr(setting, "prompts", [])]
    return list(dict.fromkeys(judge for judge in (own, *others) if judge))


def _unknown_report_names(config: Config) -> Iterator[str]:
    """The control arm and the splits that the report puts in front."""
    report, splits = config.report, _asked_splits(config)
    named = [
        ("control_recipe", report.control_recipe, list(config.recipes)),
        ("control_alignment", report.control_alignment, _defined(config, "alignments")),
        ("headline_split", report.headline_split, splits),
    ]
    if "generalisation_splits" in report.model_fields_set:
        named += [("generalisation_splits", name, splits) for name in report.generalisation_splits]
    for key, name, allowed in named:
        if name not in allowed:
            yield f"report.{key}: '{name}' is in no cell; allowed: {', '.join(allowed)}"


def _asked_splits(config: Config) -> list[str]:
    """Splits of the harmful prompts: of the prompt files, or the world's hazard groups."""
    splits: dict[str, None] = {}
    for setting in config.evaluations.values():
        if getattr(setting, "method", None) == "asr":
            files = getattr(setting, "prompts", [])
            splits |= dict.fromkeys([file.split for file in files] or HAZARD_GROUPS)
    return list(splits)


def _recipe_references(config: Config) -> Iterator[tuple[str, str, str]]:
    """Settings that take documents of a recipe (bolt_on)."""
    for name, setting in config.alignments.items():
        other = getattr(getattr(setting, "data", None), "recipe", None)
        if other is not None:
            yield "alignments", name, other


def _judge_references(config: Config) -> Iterator[tuple[str, str, str]]:
    """Who names which judge: evaluations with their prompt sets, and probes that read answers."""
    for kind in ("evaluations", "probes"):
        for name, setting in getattr(config, kind).items():
            for judge in judges_of(setting):
                yield kind, name, judge


def _unused_names(config: Config) -> Iterator[str]:
    for kind in (*SELECTABLE, "searches"):
        listed = "attacks" if kind == "searches" else kind
        selected = {name for block in config.grid for name in getattr(block, listed)}
        if kind == "attacks":
            selected |= {search.attack for search in config.searches.values()}
        if kind == "recipes":
            selected |= {other for _, _, other in _recipe_references(config)}
        for name in getattr(config, kind):
            if name not in selected:
                yield f"{kind}.{name}: defined, but no block of grid: selects it; select or delete"
    judged = {judge for _, _, judge in _judge_references(config)}
    others = (*config.audit.second_judges, *guard_judges(config.decoders.values()))
    for name in config.judges:
        if name not in {*judged, *others}:
            yield f"judges.{name}: defined, but no evaluation uses it; use or delete it"


def _impossible_cells(config: Config) -> Iterator[str]:
    for index, block in enumerate(config.grid):
        for arm in _arms_of(block):
            if arm.recipe not in config.recipes or arm.alignment not in _defined(
                config, "alignments"
            ):
                continue
            yield from _impossible(config, index, block, arm)


def _impossible(config: Config, index: int, block: Block, arm: Arm) -> Iterator[str]:
    has_tag = is_tagged(config, arm)
    for decoder in block.decoders:
        method = getattr(unguarded(config.decoders.get(decoder)), "method", None)
        if method in ("beam", "safebeam") and not has_tag:
            yield (
                f"grid.{index}: decoder '{decoder}' needs the harmfulness tag, which recipe "
                f"'{arm.recipe}' with alignment '{arm.alignment}' never sees; take it out of this "
                "block or give a part of the recipe a tag_rate"
            )
    if arm.alignment == NONE and [a for a in block.attacks if a != NONE]:
        yield (
            f"grid.{index}: attacks on alignment 'none' (recipe '{arm.recipe}'): attacks here are "
            "on chat models; list the base models in a block without attacks"
        )


def _impossible_probes(config: Config) -> Iterator[str]:
    """Probes of base models, and along attacks that nobody makes."""
    for arm in arms(config):
        for probe in probes(config, arm):
            if probe not in config.probes:
                continue
            if arm.alignment == NONE:
                yield (
                    f"probes.{probe}: selected for alignment 'none' (recipe '{arm.recipe}'): "
                    "probes read answers of chat models; list base models in a block without probes"
                )
            for attack in probed_attacks(config, probe):
                if attack not in attacks(config, arm):
                    allowed = ", ".join(attacks(config, arm)) or "none"
                    yield (
                        f"probes.{probe}.attacks: '{attack}' is made by no block of grid: for the "
                        f"arm {'/'.join(arm)}; allowed: {allowed}"
                    )


def unguarded(decoder: Any) -> Any:
    """The decoder that generates: a guarded one's inner decoder."""
    return getattr(decoder, "inner", decoder)


def guard_judges(decoders: Iterable[Any]) -> list[str]:
    """Judges that monitor for the decoders' guards."""
    monitors = [m for decoder in decoders for m in getattr(decoder, "monitors", [])]
    return list(dict.fromkeys(m.judge for m in monitors if m.judge is not None))


def needs_classifier(decoders: Iterable[Any]) -> bool:
    """True if a guard of the decoders monitors with the run's safety classifier."""
    return any(m.judge is None for d in decoders for m in getattr(d, "monitors", []))


def decoders(config: Config, arm: Arm) -> list[Any]:
    """Settings of the decoders that an arm is measured with."""
    names = dict.fromkeys(cell.decoder for cell in measurements(config, arm))
    return [config.decoders[name] for name in names]


def is_tagged(config: Config, arm: Arm) -> bool:
    """True if the arm's model has learned the harmfulness tag."""
    data = getattr(config.alignments.get(arm.alignment), "data", None)
    return config.recipes[arm.recipe].tagged or getattr(data, "always_tagged", False)
