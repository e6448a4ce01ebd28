"""Which settings make up a job of each stage; a function a stage, of the same name.

They are the job's re-run trigger: editing one makes exactly those jobs run again that use it. Where
a safeguard changes the job, `dag.settings_of` adds it.
"""

from __future__ import annotations

from typing import Any

from rebar.config.file import Config
from rebar.grid.arms import (
    Names,
    arm_of,
    decoders,
    fixed_attacks,
    guard_judges,
    measurements,
    probes,
    searches,
)


def collect(config: Config, wildcards: Names) -> dict[str, Any]:
    """The sources, and the world if it is one."""
    return {"collect": config.collect, "world": config.world}


def train_classifier(config: Config, wildcards: Names) -> dict[str, Any]:
    """The classifier and where its labelled documents come from."""
    return {"train_classifier": config.train_classifier, "world": config.world}


def score(config: Config, wildcards: Names) -> dict[str, Any]:
    """How documents are scored."""
    return {"score": config.score}


def rewrite(config: Config, wildcards: Names) -> dict[str, Any]:
    """What is rewritten, and by which model."""
    return {"rewrite": config.rewrite}


def mix(config: Config, wildcards: Names) -> dict[str, Any]:
    """The recipe; the world where it plants poisoned documents."""
    recipe = config.recipes[wildcards["recipe"]]
    poisoned = {"world": config.world} if recipe.poison else {}
    return {"recipe": recipe, "shards": config.collect.shards, **poisoned}


def tokenize(config: Config, wildcards: Names) -> dict[str, Any]:
    """The tokenizer, and how many tokens pretraining reads."""
    tokens = config.pretrain.steps * config.pretrain.tokens_per_step
    return {"tokenize": config.tokenize, "tokens": tokens}


def pretrain(config: Config, wildcards: Names) -> dict[str, Any]:
    """Architecture and training, or the finished model that the recipe begins with."""
    recipe = config.recipes[wildcards["recipe"]]
    if recipe.initial_model:
        return {"initial_model": recipe.initial_model, "revision": recipe.revision}
    return {"initial_model": None, "model": config.model, "pretrain": config.pretrain}


def align(config: Config, wildcards: Names) -> dict[str, Any]:
    """The alignment, and whether the recipe has taught the harmfulness tag."""
    name = wildcards["alignment"]
    return {
        "world": config.world,
        "alignments": {name: config.alignments[name]},
        "tagged": config.recipes[wildcards["recipe"]].tagged,
    }


def safeguard(config: Config, wildcards: Names) -> dict[str, Any]:
    """Nothing but the safeguard, which is added to every job that it changes."""
    return {}


def attack(config: Config, wildcards: Names) -> dict[str, Any]:
    """The arm's attacks, and the evaluations that watch them."""
    names = fixed_attacks(config, arm_of(wildcards))
    attacks = {name: config.attacks[name] for name in names}
    return {"world": config.world, "attacks": attacks, **_cost_to_break(config, names, [])}


def search(config: Config, wildcards: Names) -> dict[str, Any]:
    """The arm's searches with the attacks that they tune and the evaluations that they ask."""
    names = searches(config, arm_of(wildcards))
    chosen = {name: config.searches[name] for name in names}
    attacks = {each.attack: config.attacks[each.attack] for each in chosen.values()}
    asked = [name for each in chosen.values() for name in (each.asr, each.capability)]
    settings = {"world": config.world, "searches": chosen, "attacks": attacks}
    return settings | _cost_to_break(config, names, asked)


def _cost_to_break(config: Config, names: list[str], asked: list[str]) -> dict[str, Any]:
    """Evaluations `asked`, and those of `cost_to_break` if it watches one of these attacks."""
    watch = config.cost_to_break
    if set(watch.attacks).isdisjoint(names):
        return _evaluations(config, asked) if asked else {}
    of_watch = {"cost_to_break": watch, "headline_split": config.report.headline_split}
    return of_watch | _evaluations(config, [*asked, watch.asr, watch.capability])


def _evaluations(config: Config, names: list[str]) -> dict[str, Any]:
    """Evaluations with their judges."""
    evaluations = {name: config.evaluations[name] for name in names}
    judges = {j: config.judges[j] for e in evaluations.values() for j in e.judges}
    return {"evaluations": evaluations, "judges": judges}


def evaluate(config: Config, wildcards: Names) -> dict[str, Any]:
    """The arm's cells with their decoders, evaluations and judges."""
    cells = measurements(config, arm_of(wildcards))
    monitors = guard_judges(decoders(config, arm_of(wildcards)))
    asked = _evaluations(config, [cell.evaluation for cell in cells])
    asked["judges"] |= {name: config.judges[name] for name in monitors}
    return {
        "world": config.world,
        "measurements": [list(cell) for cell in cells],
        "decoders": {c.decoder: config.decoders[c.decoder] for c in cells},
        **asked,
    }


def probe(config: Config, wildcards: Names) -> dict[str, Any]:
    """The arm's probes with the judges of those that read answers."""
    chosen = {name: config.probes[name] for name in probes(config, arm_of(wildcards))}
    used = [setting.own_judge for setting in chosen.values()]
    judges = {name: config.judges[name] for name in used if name}
    return {"world": config.world, "probes": chosen, "judges": judges}


def whole_grid(config: Config, wildcards: Names) -> dict[str, Any]:
    """Every setting: the report tells of all of them."""
    return config.model_dump(mode="json")
