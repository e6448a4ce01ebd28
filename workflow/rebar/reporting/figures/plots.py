"""The figures of the comparison: the ladder, refusal against knowledge, seen and unseen openings.

Attack success is drawn only where over-refusal and capability of the same model are drawn too; a
faded mark is a collapsed cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rebar.reporting.measures.aggregate import Level, Results
from rebar.reporting.measures.comparison import (
    Row,
    View,
    cell_of,
    rows,
    short_label,
    state_label,
    states,
    view,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#7f7f7f", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#CC79A7", "#D55E00", "#B8A800")
HATCHES = {"safebeam": "///", "beam": "..."}
MARKERS = "os^Dv*PX<>"
FADED = 0.3
LETTER, HANDLE, LINE = 0.085, 0.6, 0.22  # inches: a legend's letter, its symbol, its line


def colours_of(results: Results) -> dict[str, str]:
    """A colour per recipe, the same in all figures."""
    recipes = dict.fromkeys(row.arm.recipe for row in rows(results))
    return {recipe: COLOURS[i % len(COLOURS)] for i, recipe in enumerate(recipes)}


def _hatch(results: Results, decoder: str) -> str:
    return HATCHES.get(results.config.decoders[decoder].method, "")


def _errors(levels: list[Level]) -> list[list[float]]:
    """Error bars in per cent, below and above."""
    below = [100 * (x.interval.value - x.interval.low) for x in levels]
    return [below, [100 * (x.interval.high - x.interval.value) for x in levels]]


def _shown(results: Results, state: str) -> list[tuple[Row, View]]:
    """Rows whose success may be shown; a base model shared by several rows appears once."""
    of_cell = {cell_of(results.config, row, state): row for row in reversed(rows(results))}
    once = [row for row in rows(results) if row in of_cell.values()]
    views = [(row, view(results, row, state)) for row in once]
    return [(row, v) for row, v in views if v is not None and v.success is not None]


def legend_below(figure: Figure, axes: Iterable[Axes], most_columns: int, **style: bool) -> None:
    """Put the labels of these panels below all panels, each once; the figure grows as needed.

    As many columns as fit beside each other: a grid may have dozens of arms with long names.
    """
    found = [axis.get_legend_handles_labels() for axis in axes]
    once = {label: handle for drawn in found for handle, label in zip(*drawn, strict=True)}
    longest = HANDLE + LETTER * max(map(len, once), default=0)
    columns = max(1, min(most_columns, int(figure.get_figwidth() // longest)))
    figure.set_figheight(figure.get_figheight() + LINE * (-(-len(once) // columns) - 1))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=columns, **style)


# ------------------------------------------------------------------------------- ladder


def ladder(results: Results) -> Figure | None:
    """One panel per state: attack success above, over-refusal and capability below."""
    import matplotlib.pyplot as plt

    columns = {state: _shown(results, state) for state in states(results)}
    columns = {state: shown for state, shown in columns.items() if shown}
    if not columns:
        return None
    longest = max(map(len, columns.values()))
    figure, panels = _ladder_panels(len(columns), longest)
    for (state, shown), (above, below) in zip(columns.items(), panels, strict=False):
        _bars(results, above, state, shown)
        _beside(results, below, shown)
        for axis in (above, below):
            axis.set_xlim(-0.6, longest - 0.4)
    for unused in panels[len(columns) :]:
        for axis in unused:
            axis.axis("off")
    _ladder_legend(results, figure)
    plt.close(figure)
    return figure


def _ladder_panels(count: int, longest: int) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """At least `count` pairs of axes, four beside each other, for up to `longest` bars each."""
    import matplotlib.pyplot as plt

    across = min(4, count)
    bands = -(-count // across)
    figure, axes = plt.subplots(
        2 * bands,
        across,
        figsize=(max(7.0, across * (0.27 * longest + 0.9)), 4.6 * bands),
        height_ratios=[3, 1.1] * bands,
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for band in range(bands):
        axes[2 * band][0].set_ylabel("attack success, %")
        axes[2 * band + 1][0].set_ylabel("%")
    places = [divmod(index, across) for index in range(bands * across)]
    return figure, [(axes[2 * band][at], axes[2 * band + 1][at]) for band, at in places]


def _bars(results: Results, axis: Axes, state: str, shown: list[tuple[Row, View]]) -> None:
    colours = colours_of(results)
    levels = [v.success for _, v in shown if v.success]
    bars = axis.bar(
        range(len(shown)),
        [100 * level.interval.value for level in levels],
        color=[colours[row.arm.recipe] for row, _ in shown],
        edgecolor="white",
        yerr=_errors(levels),
        error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#222222"},
    )
    for position, (bar, (row, v)) in enumerate(zip(bars, shown, strict=True)):
        bar.set_hatch(_hatch(results, row.decoder))
        if v.num_collapsed:
            bar.set_alpha(FADED)
            axis.annotate("†", (position, 102), ha="center", annotation_clip=False)
    axis.set(title=state_label(state), ylim=(0, 105), xticks=[])


def _beside(results: Results, axis: Axes, shown: list[tuple[Row, View]]) -> None:
    for attribute, marker, colour in (
        ("capability", "o", "#222222"),
        ("over_refusal", "x", "#C00000"),
    ):
        levels = [getattr(v, attribute) for _, v in shown]
        axis.errorbar(
            range(len(shown)),
            [100 * level.interval.value for level in levels],
            yerr=_errors(levels),
            fmt=marker,
            color=colour,
            markersize=4,
            elinewidth=0.8,
            clip_on=False,
        )
    axis.set_ylim(-4, 104)
    axis.set_yticks([0, 50, 100])
    labels = [short_label(results, row) for row, _ in shown]
    axis.set_xticks(range(len(shown)), labels, rotation=90, fontsize=7)


def _ladder_legend(results: Results, figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, label=recipe) for recipe, colour in colours_of(results).items()
    ]
    used = {results.config.decoders[row.decoder].method for row in rows(results)}
    for method, hatch in HATCHES.items():
        if method in used:
            handles.append(Patch(facecolor="#dddddd", hatch=hatch, label=method))
    handles += [
        Line2D([], [], marker="o", color="#222222", linestyle="", label="capability"),
        Line2D([], [], marker="x", color="#C00000", linestyle="", label="over-refusal"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 8), frameon=False
    )


# ------------------------------------------------------------------- refusal v. knowledge


def knowledge(results: Results) -> Figure | None:
    """One point per row and state: the colour is the recipe, the shape the state."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(7.2, 4.6), layout="constrained")
    axis = figure.subplots()
    used = [
        (state, marker)
        for state, marker in zip(states(results), MARKERS, strict=False)
        for row in rows(results)
        if _draw_point(results, axis, row, state, marker)
    ]
    plt.close(figure)
    if not used:
        return None
    axis.set(xlabel="refused, %", ylabel="correct facts, %", xlim=(-4, 104), ylim=(-4, 104))
    _knowledge_legend(figure, colours_of(results), dict.fromkeys(used))
    return figure


def _draw_point(results: Results, axis: Axes, row: Row, state: str, marker: str) -> bool:
    """Draw refusal against correct facts; False if one of them was not measured."""
    v = view(results, row, state)
    if v is None or v.refused is None or v.knowledge is None:
        return False
    axis.errorbar(
        100 * v.refused.interval.value,
        100 * v.knowledge.interval.value,
        xerr=_errors([v.refused]),
        yerr=_errors([v.knowledge]),
        fmt=marker,
        color=colours_of(results)[row.arm.recipe],
        alpha=FADED if v.num_collapsed else 0.9,
        elinewidth=0.5,
        markersize=6,
    )
    return True


def _knowledge_legend(
    figure: Figure, colours: dict[str, str], used: Iterable[tuple[str, str]]
) -> None:
    from matplotlib.lines import Line2D

    shapes = [
        Line2D([], [], marker=m, color="#444444", linestyle="", label=state_label(s))
        for s, m in used
    ]
    dots = [Line2D([], [], marker="o", color=c, linestyle="", label=r) for r, c in colours.items()]
    figure.legend(handles=dots + shapes, loc="outside right center", frameon=False)


# -------------------------------------------------------------------------------- halves


def halves(results: Results) -> Figure | None:
    """A line per row: attack success with seen and with unseen openings."""
    import matplotlib.pyplot as plt

    columns = {}
    for state in states(results):
        shown = [(row, v) for row, v in _shown(results, state) if len(v.halves) == 2]
        if shown and len(columns) < 3:
            columns[state] = shown
    if not columns:
        return None
    longest = max(map(len, columns.values()))
    figure, axes = plt.subplots(
        1,
        len(columns),
        figsize=(max(6.0, 4.0 * len(columns)), 0.32 * longest + 2.0),
        squeeze=False,
        layout="constrained",
    )
    for axis, (state, shown) in zip(axes[0], columns.items(), strict=True):
        _dumbbells(results, axis, state, shown)
    legend_below(figure, [axes[0][0]], 2, frameon=False)
    plt.close(figure)
    return figure


def _dumbbells(results: Results, axis: Axes, state: str, shown: list[tuple[Row, View]]) -> None:
    colours = colours_of(results)
    for position, (row, v) in enumerate(shown):
        colour, alpha = colours[row.arm.recipe], FADED if v.num_collapsed else 1.0
        values = [100 * side.level.interval.value for side in v.halves]
        axis.plot(values, [position] * 2, color=colour, alpha=alpha, linewidth=1.5, zorder=1)
        for side, offset, fill in zip(v.halves, (-0.14, 0.14), (colour, "white"), strict=True):
            axis.errorbar(
                100 * side.level.interval.value,
                position + offset,
                xerr=_errors([side.level]),
                fmt="o",
                color=colour,
                markerfacecolor=fill,
                markersize=5,
                elinewidth=0.7,
                alpha=alpha,
                label=f"{side.name} openings" if position == 0 else None,
            )
        assert v.over_refusal and v.capability
        beside = (
            f"{100 * v.over_refusal.interval.value:.0f} / {100 * v.capability.interval.value:.0f}"
        )
        axis.annotate(beside, (107, position), fontsize=7, va="center", annotation_clip=False)
    axis.annotate("over-refusal /\ncapability", (1.03, 1.01), xycoords="axes fraction", fontsize=6)
    axis.set(title=state_label(state), xlabel="attack success, %", xlim=(-3, 103))
    axis.set_yticks(range(len(shown)), [short_label(results, row) for row, _ in shown])
    axis.set_ylim(len(shown) - 0.5, -0.5)
