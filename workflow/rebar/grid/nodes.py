"""Jobs by name: a stage with its wildcards; and the jobs that make the models of an arm."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.grid.arms import Arm, Names, acts_in, arm_of

Place = TypeVar("Place")


class Node(NamedTuple):
    """A job: its stage, and the names that tell it from the stage's other jobs."""

    stage: str
    wildcards: dict[str, Any]


class Models(NamedTuple, Generic[Place]):
    """An arm's models, as jobs or as folders; where a stage does nothing: the model before it."""

    base: Place
    aligned: Place
    released: Place


def model_nodes(seed: int, arm: Arm, acts_in: str = NONE) -> Models[Node]:
    """The jobs that make an arm's models; `acts_in` is where its safeguard does, `none` without.

    Models that the safeguard has not yet changed are those of `none`: arms share them.
    """
    assert (arm.safeguard == NONE) == (acts_in == NONE), f"{arm} acts in {acts_in}"
    names = {"seed": seed, **arm._asdict()}
    shared = names | {"safeguard": NONE}
    base = Node("pretrain", names if acts_in == "pretraining" else shared)
    if arm.alignment == NONE:
        return Models(base, base, base)
    aligned = Node("align", shared if acts_in == "own_stage" else names)
    released = Node("safeguard", names) if acts_in == "own_stage" else aligned
    return Models(base, aligned, released)


def models_read(config: Config, wildcards: Names) -> Models[Node]:
    """The jobs that make the models of the arm that a job's wildcards name."""
    arm = arm_of(wildcards)
    return model_nodes(wildcards["seed"], arm, acts_in(config, arm.safeguard))


def twin_node(seed: int, twin: str) -> Node:
    """The model that a part of a safeguard is compared with: `recipe`, or `recipe/alignment`."""
    recipe, _, alignment = twin.partition("/")
    return model_nodes(seed, Arm(recipe, NONE, alignment or NONE)).released
