"""Pictures of the loss landscape: safety basin, lines, planes, the way to an attacked model.

A line is an arm, its mean over seeds (and over random directions); where lines are few, a band
spans them from lowest to highest.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rebar.grid import Arm
from rebar.reporting.figures.arm_lines import Panel, panels
from rebar.reporting.figures.plots import legend_below
from rebar.reporting.measures.comparison import arm_label, state_label
from rebar.reporting.measures.probe_rows import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROBE_FIGURES = {
    "basin": "Safety basin: share of harmful requests refused when all weights move along random "
    "directions as long as the weights themselves (mean of directions and seeds, band: all of "
    "them). VISAGE is the mean height of the stretch around 0 that stays above zero.",
    "landscape": "The loss landscape on lines: filter-normalised random directions, and the way of "
    "an attack beyond both its ends (0 is the released model, 1 the attacked one).",
    "plane": "The loss landscape on planes: two filter-normalised random directions, or the way of "
    "an attack (1 is the attacked model) and a random direction; the cross is the released model. "
    "Arms share the levels of a loss; what lies above them is cut.",
    "connectivity": "The straight way from the released model (0) to the attacked one (1); dotted: "
    "the chord that a barrier rises above.",
}
LOSSES = ("harmful", "refusal", "benign")
PLANE_LEVELS = 12


class Line(NamedTuple):
    """Values over alpha: mean, lowest and highest."""

    alphas: list[float]
    means: list[float]
    lowest: list[float]
    highest: list[float]


def probe_figures(numbers: Sequence[Number], colours: dict[str, str]) -> dict[str, Figure | None]:
    """The figures by name; None where the grid has no such numbers."""
    drawn = [n for n in numbers if not math.isnan(n.alpha)]
    lines = [n for n in drawn if n.metric == "loss" and math.isnan(n.beta)]
    planes = [n for n in drawn if not math.isnan(n.beta)]
    # a path to an attacked model ends at 0 and 1, a landscape goes beyond
    beyond = {n.probe for n in lines if n.alpha < 0}
    return {
        "basin": _basin([n for n in drawn if n.metric == "refused"], colours),
        "landscape": _panels([n for n in lines if n.probe in beyond], colours),
        "plane": _planes(planes),
        "connectivity": _panels([n for n in lines if n.probe not in beyond], colours, chords=True),
    }


def line_of(numbers: Iterable[Number]) -> Line:
    """Mean and range at each alpha, over seeds and directions."""
    values: dict[float, list[float]] = defaultdict(list)
    for number in numbers:
        values[number.alpha].append(number.value)
    alphas = sorted(values)
    means = [sum(values[a]) / len(values[a]) for a in alphas]
    ends = ([end(values[a]) for a in alphas] for end in (min, max))
    return Line(alphas, means, *ends)


def _draw(axis: Axes, numbers: Sequence[Number], panel: Panel, *, chords: bool = False) -> None:
    """Draw one line per arm."""
    for arm, style in panel.styles.items():
        line = line_of(n for n in numbers if n.arm == arm)
        axis.plot(line.alphas, line.means, linewidth=1.4, **style._asdict())
        if not panel.is_crowded:
            band = (line.alphas, line.lowest, line.highest)
            axis.fill_between(*band, color=style.color, alpha=0.15, linewidth=0)
        if chords and line.alphas:
            ends = [line.alphas[0], line.alphas[-1]], [line.means[0], line.means[-1]]
            chord = np.interp(line.alphas, *ends)
            axis.plot(line.alphas, chord, ":", color=style.color, linewidth=0.8)
    if chords:  # one arm may be at 30 nats where others are at 1
        axis.set_yscale("log")
    axis.axvline(0, color="#999999", linewidth=0.6, zorder=0)


def _basin(numbers: Sequence[Number], colours: dict[str, str]) -> Figure | None:
    import matplotlib.pyplot as plt

    if not numbers:
        return None
    shares = [n._replace(value=100 * n.value) for n in numbers]
    columns = panels((n.arm for n in numbers), colours)
    figure, axes = plt.subplots(
        1, len(columns), figsize=(4.8 * len(columns), 3.6), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axis, panel in zip(axes[0], columns, strict=True):
        _draw(axis, shares, panel)
        axis.set(title=panel.title, xlabel="step along the direction, lengths of the weights")
    axes[0][0].set(ylabel="refused, %", ylim=(-3, 103))
    legend_below(figure, axes[0], 4, frameon=False)
    plt.close(figure)
    return figure


def _panels(
    numbers: Sequence[Number], colours: dict[str, str], *, chords: bool = False
) -> Figure | None:
    """One row per path (all random directions together) and recipe, one column per loss."""
    import matplotlib.pyplot as plt

    if not numbers:
        return None
    ways: dict[str, list[Number]] = defaultdict(list)
    for number in numbers:
        ways[_way(number.direction)].append(number)
    rows = list(product(ways, panels((n.arm for n in numbers), colours)))
    figure, axes = plt.subplots(
        len(rows), len(LOSSES), figsize=(10.5, 2.5 * len(rows) + 0.9), squeeze=False,
        sharey="row", layout="constrained",
    )  # fmt: skip
    for row, (way, panel) in enumerate(rows):
        for axis, loss in zip(axes[row], LOSSES, strict=True):
            _draw(axis, [n for n in ways[way] if n.loss == loss], panel, chords=chords)
            axis.set_title(f"{loss} loss" if row == 0 else "")
            axis.set_xlabel(way)
        axes[row][0].set_ylabel(f"{panel.title}\nnats a token".strip())
    legend_below(figure, axes.flat, 5, frameon=False)
    plt.close(figure)
    return figure


def _way(direction: str) -> str:
    """`attack:harmful_finetune_10` reads `towards harmful 10`; random ones are alike."""
    kind, _, name = direction.partition(":")
    return f"towards {state_label(name)}" if kind == "attack" else "random direction"


def _planes(numbers: Sequence[Number]) -> Figure | None:
    """One row per plane and arm, one column per loss; arms share the contour levels."""
    import matplotlib.pyplot as plt

    if not numbers:
        return None
    found = list(dict.fromkeys((n.direction, n.arm) for n in numbers))
    figure, axes = plt.subplots(
        len(found),
        len(LOSSES),
        figsize=(10.5, 2.7 * len(found) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    for column, loss in enumerate(LOSSES):
        surfaces = {key: _surface(numbers, *key, loss) for key in found}
        for row, (plane, arm) in enumerate(found):
            axis, shared = axes[row][column], [surfaces[k] for k in found if k[0] == plane]
            drawn = _contours(axis, surfaces[plane, arm], shared)
            axis.set_title(f"{loss} loss" if row == 0 else "")
            axis.set_xlabel(_way(plane.split(" x ")[0]))
            axis.set_ylabel(f"{arm_label(arm)}\nrandom direction" if column == 0 else "")
            figure.colorbar(drawn, ax=axis, format="%.1f")
    plt.close(figure)
    return figure


class _Surface(NamedTuple):
    """Mean over seeds: `values[i, j]` at alpha i and beta j."""

    alphas: list[float]
    betas: list[float]
    values: Any


def _surface(numbers: Sequence[Number], plane: str, arm: Arm, loss: str) -> _Surface:
    values: dict[tuple[float, float], list[float]] = defaultdict(list)
    for number in numbers:
        if (number.direction, number.arm, number.loss) == (plane, arm, loss):
            values[number.alpha, number.beta].append(number.value)
    alphas, betas = (sorted({point[i] for point in values}) for i in (0, 1))
    means = [[np.mean(values[alpha, beta]) for beta in betas] for alpha in alphas]
    return _Surface(alphas, betas, np.array(means))


def _contours(axis: Axes, surface: _Surface, shared: Sequence[_Surface]) -> Any:
    """Filled contours with the levels of all these surfaces, and a cross at the released model.

    Far out the loss explodes; what is worth seeing lies below the middle of the heights.
    """
    lowest = min(float(s.values.min()) for s in shared)
    highest = max(float(np.median(s.values)) for s in shared)
    levels = np.linspace(lowest, max(highest, lowest + 1e-6), PLANE_LEVELS)
    place = (surface.alphas, surface.betas, surface.values.T, levels)
    drawn = axis.contourf(*place, cmap="viridis", extend="max")
    axis.contour(*place, colors="white", linewidths=0.3)
    axis.plot(0, 0, "x", color="white", markersize=6)
    return drawn
