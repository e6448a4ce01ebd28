"""The lines that stand for arms in a figure, and the panels that they are spread over.

While dashes tell the arms of each of several recipes apart, colour means recipe and all arms share
a panel. Else a recipe has panels of its own; there the undefended arm is black, and a safeguard has
the same colour and dashes in every recipe.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rebar.config.base import NONE
from rebar.grid import Arm
from rebar.reporting.figures.plots import COLOURS
from rebar.reporting.measures.comparison import arm_label

DASHES = ("-", "--", "-.", ":")
UNDEFENDED = "#000000"
SAFEGUARDS = COLOURS[1:]  # grey looks like a faded black


class Look(NamedTuple):
    """How a line is drawn, by matplotlib's names."""

    color: str
    linestyle: str
    label: str


class Panel(NamedTuple):
    """Arms that are drawn into the same axes."""

    title: str  # the recipe, where it is all of one
    looks: dict[Arm, Look]

    @property
    def is_crowded(self) -> bool:
        """Too many lines for the range of each to be seen."""
        return len(self.looks) > len(DASHES)


def panels(arms: Iterable[Arm], colours: dict[str, str]) -> list[Panel]:
    """All arms in one panel, or those of each recipe; `colours` are the recipes'."""
    by_recipe: dict[str, list[Arm]] = defaultdict(list)
    for arm in dict.fromkeys(arms):
        by_recipe[arm.recipe].append(arm)
    if len(by_recipe) == 1 or max(map(len, by_recipe.values()), default=0) > len(DASHES):
        drawn = _looks_apart([arm for own in by_recipe.values() for arm in own])
        return [Panel(recipe, {a: drawn[a] for a in own}) for recipe, own in by_recipe.items()]
    looks = {
        arm: Look(colours[recipe], DASHES[index], arm_label(arm))
        for recipe, own in by_recipe.items()
        for index, arm in enumerate(own)
    }
    return [Panel("", looks)]


def _looks_apart(arms: Sequence[Arm]) -> dict[Arm, Look]:
    """A colour with dashes for each safeguard and alignment; the recipe is the panel's title."""
    kinds = dict.fromkeys((arm.safeguard, arm.alignment) for arm in arms)
    plain = [kind for kind in kinds if kind[0] == NONE]
    guarded = [kind for kind in kinds if kind[0] != NONE]
    looks = {}
    for palette, own in (((UNDEFENDED,), plain), (SAFEGUARDS, guarded)):
        for index, kind in enumerate(own):
            row, column = divmod(index, len(palette))
            looks[kind] = Look(palette[column], DASHES[row % len(DASHES)], " + ".join(kind))
    return {arm: looks[arm.safeguard, arm.alignment] for arm in arms}
