"""Names that do not fit together: unknown, unused, impossible; told before any job starts."""

from __future__ import annotations

from collections.abc import Iterator

from rebar import grid
from rebar.config.base import NONE
from rebar.config.file import Block, Config
from rebar.config.world import HAZARD_GROUPS


def check_grid(config: Config, file: str) -> None:
    """Raise ValueError for names that do not fit together; names file, key and what is allowed."""
    problems = [
        *_unknown_names(config),
        *_unused_names(config),
        *_impossible_cells(config),
        *_impossible_places(config),
        *_missing_hazards(config),
        *_impossible_probes(config),
        *_unknown_report_names(config),
    ]
    if problems:
        raise ValueError("\n".join(f"{file}: {problem}" for problem in problems))


SELECTABLE = (
    "recipes",
    "safeguards",
    "alignments",
    "attacks",
    "decoders",
    "evaluations",
    "probes",
)


def _defined(config: Config, kind: str) -> list[str]:
    extra = [NONE] if kind in ("alignments", "attacks", "safeguards") else []
    tuned = config.searches if kind == "attacks" else ()
    return [*extra, *getattr(config, kind), *tuned]


def _unknown_names(config: Config) -> Iterator[str]:
    for index, block in enumerate(config.grid):
        for kind in SELECTABLE:
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
            yield f"{key}: '{name}' is not defined, or no fit; allowed: {', '.join(allowed)}"
    for name in grid.guard_judges(config.decoders.values()):
        if name not in config.judges:
            allowed = ", ".join(config.judges) or "none is defined under judges:"
            yield f"decoders: judge '{name}' of a guard is not defined; allowed: {allowed}"
    for name in config.audit.second_judges:
        if name not in config.judges:
            allowed = ", ".join(config.judges) or "none is defined under judges:"
            yield f"audit.second_judges: '{name}' is not defined; allowed: {allowed}"
    for name, kind, other in _twin_references(config):
        if other not in getattr(config, kind):
            allowed = ", ".join(getattr(config, kind))
            twin = f"its twin's {kind.removesuffix('s')} '{other}'"
            yield f"safeguards.{name}: {twin} is not defined; allowed: {allowed}"
    for kind, name, other in _recipe_references(config):
        if other not in config.recipes:
            allowed = ", ".join(config.recipes)
            yield f"{kind}.{name}.recipe: '{other}' is not defined; allowed: {allowed}"


def _bench_references(config: Config) -> Iterator[tuple[str, str, list[str]]]:
    """Names in searches and in cost_to_break: where they stand, and what is allowed."""
    tunable = [name for name, setting in config.attacks.items() if setting.is_tunable]
    for name, search in config.searches.items():
        yield f"searches.{name}.attack", search.attack, tunable
    watch = config.cost_to_break
    watchable = [*tunable, *config.searches]
    yield from (("cost_to_break.attacks", name, watchable) for name in watch.attacks)
    askers = {f"searches.{name}": search for name, search in config.searches.items()}
    askers |= {"cost_to_break": watch} if watch.attacks else {}
    for place, asker in askers.items():
        yield f"{place}.asr", asker.asr, list(config.evaluations)
        yield f"{place}.capability", asker.capability, list(config.evaluations)


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
        if setting.role == "compliance":
            splits |= dict.fromkeys([file.split for file in setting.prompt_sets] or HAZARD_GROUPS)
    return list(splits)


def _recipe_references(config: Config) -> Iterator[tuple[str, str, str]]:
    """Settings that take documents of a recipe (bolt_on)."""
    for name, setting in config.alignments.items():
        if setting.data.recipe is not None:
            yield "alignments", name, setting.data.recipe


def _twin_references(config: Config) -> Iterator[tuple[str, str, str]]:
    """Safeguards that look at another model of the grid: its recipe, and its alignment if any."""
    for name, safeguard in config.safeguards.items():
        for twin in safeguard.twins:
            recipe, _, alignment = twin.partition("/")
            yield name, "recipes", recipe
            if alignment:
                yield name, "alignments", alignment


def _judge_references(config: Config) -> Iterator[tuple[str, str, str]]:
    """Who names which judge: evaluations with their prompt sets, and probes that read answers."""
    asking = [("evaluations", *each) for each in config.evaluations.items()]
    asking += [("probes", *each) for each in config.probes.items()]
    yield from ((kind, name, judge) for kind, name, setting in asking for judge in setting.judges)


def _unused_names(config: Config) -> Iterator[str]:
    for kind in (*SELECTABLE, "searches"):
        listed = "attacks" if kind == "searches" else kind
        selected = {name for block in config.grid for name in getattr(block, listed)}
        if kind == "attacks":
            selected |= {search.attack for search in config.searches.values()}
        selected |= {other for _, referred, other in _twin_references(config) if referred == kind}
        if kind == "recipes":
            selected |= {other for _, _, other in _recipe_references(config)}
        for name in getattr(config, kind):
            if name not in selected:
                yield f"{kind}.{name}: defined, but no block of grid: selects it; select or delete"
    judged = {judge for _, _, judge in _judge_references(config)}
    others = (*config.audit.second_judges, *grid.guard_judges(config.decoders.values()))
    for name in config.judges:
        if name not in {*judged, *others}:
            yield f"judges.{name}: defined, but no evaluation uses it; use or delete it"


def _impossible_cells(config: Config) -> Iterator[str]:
    for index, block in enumerate(config.grid):
        for arm in grid.arms_of(block):
            kinds = zip(("recipes", "safeguards", "alignments"), arm, strict=True)
            if all(name in _defined(config, kind) for kind, name in kinds):
                yield from _impossible(config, index, block, arm)
                yield from _impossible_safeguard(config, index, arm)


def _impossible(config: Config, index: int, block: Block, arm: grid.Arm) -> Iterator[str]:
    has_tag = grid.is_tagged(config, arm)
    for decoder in block.decoders:
        chosen = config.decoders.get(decoder)
        if chosen is not None and chosen.generator.needs_tag and not has_tag:
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


def _impossible_safeguard(config: Config, index: int, arm: grid.Arm) -> Iterator[str]:
    """A safeguard whose run this arm does not have."""
    acts_in, where = grid.acts_in(config, arm.safeguard), f"grid.{index}.safeguards"
    recipe, alignment = config.recipes[arm.recipe], config.alignments.get(arm.alignment)
    if acts_in == "pretraining" and recipe.initial_model:
        yield (
            f"{where}: '{arm.safeguard}' acts in pretraining, but recipe '{arm.recipe}' starts "
            "from initial_model and is not pretrained here; allowed: acts_in alignment, own_stage"
        )
    if acts_in in ("alignment", "own_stage") and alignment is None:
        yield (
            f"{where}: '{arm.safeguard}' acts in {acts_in}, but alignment 'none' has only a base "
            "model; list another alignment, or a safeguard with acts_in pretraining"
        )
    if acts_in == "alignment" and alignment is not None and not alignment.training.steps:
        yield (
            f"{where}: '{arm.safeguard}' acts in alignment, but '{arm.alignment}' trains for 0 "
            "steps; list an alignment that trains, or give the safeguard acts_in own_stage"
        )


def _impossible_places(config: Config) -> Iterator[str]:
    """Parts of safeguards in a run that their method is not made for."""
    for name, safeguard in config.safeguards.items():
        for index, part in enumerate(safeguard.parts):
            if safeguard.acts_in not in part.places:
                yield (
                    f"safeguards.{name}.parts.{index}.method: '{part.method}' cannot act in "
                    f"{safeguard.acts_in}; acts_in allowed for it: {', '.join(part.places)}"
                )


def _missing_hazards(config: Config) -> Iterator[str]:
    """Who reads the world's guarded hazards where there are none."""
    if config.world.guarded_hazards:
        return
    readers = [
        f"safeguards.{name}.data"
        for name, safeguard in config.safeguards.items()
        if safeguard.data.reads_guarded
    ]
    readers += [
        f"attacks.{name}.hazards"
        for name, attack in config.attacks.items()
        if attack.shares_hazards
    ]
    for reader in readers:
        yield (
            f"{reader}: reads guarded hazards of the world, but world.guarded_hazards is 0; "
            "allowed: 1 and more, or files of its own"
        )


def _impossible_probes(config: Config) -> Iterator[str]:
    """Probes of base models, and along attacks that nobody makes."""
    for arm in grid.arms(config):
        for probe in grid.probes(config, arm):
            if probe not in config.probes:
                continue
            if arm.alignment == NONE:
                yield (
                    f"probes.{probe}: selected for alignment 'none' (recipe '{arm.recipe}'): "
                    "probes read answers of chat models; list base models in a block without probes"
                )
            for attack in grid.probed_attacks(config, probe):
                if attack not in grid.attacks(config, arm):
                    allowed = ", ".join(grid.attacks(config, arm)) or "none"
                    yield (
                        f"probes.{probe}.attacks: '{attack}' is made by no block of grid: for the "
                        f"arm {'/'.join(arm)}; allowed: {allowed}"
                    )
