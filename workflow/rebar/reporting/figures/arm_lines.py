"""The lines that stand for arms in a figure, and the panels that they are spread over.

Several recipes with at most four arms each share one panel: colour stands for the recipe, dashes
for the arm. Otherwise each recipe has panels of its own, in which the undefended arm is black and a
safeguard has the same colour and dashes in every recipe.
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
SAFEGUARDS = COLOURS[1:]  # without grey, which looks like a faded black


class LineStyle(NamedTuple):
    """How a line is drawn, by matplotlib's names."""

    color: str
    linestyle: str
    label: str


class Panel(NamedTuple):
    """Arms that are drawn into the same axes."""

    title: str  # the recipe if all arms have the same one, else empty
    styles: dict[Arm, LineStyle]

    @property
    def is_crowded(self) -> bool:
        """True if there are too many lines to show the range of each."""
        return len(self.styles) > len(DASHES)


def panels(arms: Iterable[Arm], colours: dict[str, str]) -> list[Panel]:
    """Put all arms into one panel, or those of each recipe; `colours` are by recipe."""
    by_recipe: dict[str, list[Arm]] = defaultdict(list)
    for arm in dict.fromkeys(arms):
        by_recipe[arm.recipe].append(arm)
    if len(by_recipe) == 1 or max(map(len, by_recipe.values()), default=0) > len(DASHES):
        drawn = _distinct_styles([arm for own in by_recipe.values() for arm in own])
        return [Panel(recipe, {a: drawn[a] for a in own}) for recipe, own in by_recipe.items()]
    styles = {
        arm: LineStyle(colours[recipe], DASHES[index], arm_label(arm))
        for recipe, own in by_recipe.items()
        for index, arm in enumerate(own)
    }
    return [Panel("", styles)]


def _distinct_styles(arms: Sequence[Arm]) -> dict[Arm, LineStyle]:
    """A colour with dashes for each safeguard and alignment; the recipe is the panel's title."""
    kinds = dict.fromkeys((arm.safeguard, arm.alignment) for arm in arms)
    plain = [kind for kind in kinds if kind[0] == NONE]
    guarded = [kind for kind in kinds if kind[0] != NONE]
    styles = {}
    for palette, own in (((UNDEFENDED,), plain), (SAFEGUARDS, guarded)):
        for index, kind in enumerate(own):
            row, column = divmod(index, len(palette))
            styles[kind] = LineStyle(palette[column], DASHES[row % len(DASHES)], " + ".join(kind))
    return {arm: styles[arm.safeguard, arm.alignment] for arm in arms}
