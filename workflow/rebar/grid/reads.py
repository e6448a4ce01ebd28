"""What a job of each stage reads, as jobs of other stages; a function a stage, of the same name."""

from __future__ import annotations

from rebar.config.file import Config
from rebar.grid.arms import (
    Names,
    arm_of,
    decoders,
    fixed_attacks,
    needs_classifier,
    probed_attacks,
    probes,
    searches,
    shards,
)
from rebar.grid.nodes import Node, models_read


def nothing(config: Config, wildcards: Names) -> list[Node]:
    """The first stages, which read sources; and stages of the whole grid, which read everything."""
    return []


def score(config: Config, wildcards: Names) -> list[Node]:
    """A shard of documents, and the classifier."""
    names = dict(wildcards)
    return [Node("collect", names), Node("train_classifier", names)]


def rewrite(config: Config, wildcards: Names) -> list[Node]:
    """A shard of scored documents, and the classifier that judges what was rewritten."""
    names = dict(wildcards)
    return [Node("score", names), Node("train_classifier", names)]


def mix(config: Config, wildcards: Names) -> list[Node]:
    """All scored and rewritten shards."""
    numbers = shards(config)
    stages = ("score", "rewrite")
    return [Node(stage, {**wildcards, "shard": i}) for stage in stages for i in numbers]


def tokenize(config: Config, wildcards: Names) -> list[Node]:
    """The recipe's documents; the tokenizer's sample, which is the same for all recipes."""
    collected = [Node("collect", {**wildcards, "shard": i}) for i in shards(config)]
    return [Node("mix", dict(wildcards)), *collected]


def pretrain(config: Config, wildcards: Names) -> list[Node]:
    """The packed tokens; nothing where the recipe begins with a finished model."""
    has_corpus = config.recipes[wildcards["recipe"]].parts
    return [Node("tokenize", dict(wildcards))] if has_corpus else []


def align(config: Config, wildcards: Names) -> list[Node]:
    """The base model, the recipe's documents for replay, and those that are bolted on."""
    data = config.alignments[wildcards["alignment"]].data
    nodes = [models_read(config, wildcards).base]
    if config.recipes[wildcards["recipe"]].parts and data.replay_share > 0:
        nodes.append(Node("mix", dict(wildcards)))
    if data.recipe:
        bolted = {**wildcards, "recipe": data.recipe}
        nodes += [Node("mix", bolted), Node("tokenize", bolted)]
    return nodes


def safeguard(config: Config, wildcards: Names) -> list[Node]:
    """The aligned model."""
    return [models_read(config, wildcards).aligned]


def attack(config: Config, wildcards: Names) -> list[Node]:
    """The released model; its base where an attack goes back towards it."""
    names = fixed_attacks(config, arm_of(wildcards))
    reads_base = any(config.attacks[name].reads_base for name in names)
    models = models_read(config, wildcards)
    return [models.released, *([models.base] if reads_base else [])]


def search(config: Config, wildcards: Names) -> list[Node]:
    """The released model."""
    return [models_read(config, wildcards).released]


def evaluate(config: Config, wildcards: Names) -> list[Node]:
    """The released model, the attacked ones, and the classifier where a decoder asks it."""
    arm, names = arm_of(wildcards), dict(wildcards)
    nodes = [models_read(config, wildcards).released]
    if fixed_attacks(config, arm):
        nodes.append(Node("attack", names))
    if searches(config, arm):
        nodes.append(Node("search", names))
    if needs_classifier(decoders(config, arm)):
        nodes.append(Node("train_classifier", names))
    return nodes


def probe(config: Config, wildcards: Names) -> list[Node]:
    """The released model, and the attacked ones where a probe looks along an attack."""
    arm = arm_of(wildcards)
    along = any(probed_attacks(config, probe) for probe in probes(config, arm))
    attacked = [Node("attack", dict(wildcards))] if along else []
    return [models_read(config, wildcards).released, *attacked]
