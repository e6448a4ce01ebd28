"""The arms and cells that the blocks of a config select, and what their settings name.

An arm is recipe x safeguard x alignment, a row of the grid. A cell is an arm with attack, decoder,
evaluation and seed, one number of the grid. Everything here is pure: config in, names out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any, NamedTuple

from rebar.config.base import NONE
from rebar.config.decoding import Decoder
from rebar.config.file import Block, Config
from rebar.config.kinds import Attack
from rebar.config.safeguard import Safeguard
from rebar.config.search import TUNED

Names = Mapping[str, Any]  # of a job: its wildcards, `seed` and `shard` as numbers


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


def arm_of(wildcards: Names) -> Arm:
    """The arm that a job's wildcards name."""
    return Arm(*(str(wildcards[key]) for key in Arm._fields))


def acts_in(config: Config, safeguard: str) -> str:
    """The run that a safeguard shapes; `none` for none."""
    return NONE if safeguard == NONE else config.safeguards[safeguard].acts_in


def safeguard_in(config: Config, place: str, wildcards: Names) -> Safeguard | None:
    """The arm's safeguard if it acts in this place (pretraining, alignment, own_stage)."""
    safeguard = config.safeguards.get(str(wildcards.get("safeguard", NONE)))
    return safeguard if safeguard and safeguard.acts_in == place else None


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


def evaluated_attacks(config: Config, arm: Arm) -> list[str]:
    """Attacks after which an arm is measured, `none` among them."""
    return list(dict.fromkeys(cell.attack for cell in measurements(config, arm)))


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
