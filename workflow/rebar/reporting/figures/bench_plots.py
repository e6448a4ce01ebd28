"""The figures of the attack bench: every attack on every arm, costs to break, tuned attackers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.reporting.figures.arm_lines import LineStyle, panels
from rebar.reporting.figures.plots import legend_below
from rebar.reporting.measures.aggregate import Results
from rebar.reporting.measures.breaks import COMPLIANCE, Trajectory, find_breaks
from rebar.reporting.measures.comparison import Row, beside, rows, success_cell
from rebar.reporting.measures.resistance import is_benign, survival
from rebar.reporting.measures.searches import Searched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BENCH_FIGURES = {
    "heat_map": "Every attack on every arm: attack success, with over-refusal and capability of "
    "the same attacked model below; a dagger marks a collapsed model.",
    "breaks": "Cost to break: watched models at steps 1, 2, 3, 5, 8, ... of an attack, and the "
    "share of models not yet broken (Kaplan-Meier).",
    "searches": "Tuned attackers: most attack success of a useful model after so many trials, "
    "mean over seeds from where each has one; the first trial is the attack's own setting.",
}
FEWEST_ATTACKS = 2  # a heat map with one column shows nothing


def bench_figures(
    results: Results,
    trajectories: list[Trajectory],
    searched: list[Searched],
    colours: dict[str, str],
) -> dict[str, Figure | None]:
    """The figures by name; None where the grid has nothing to draw."""
    return {
        "heat_map": heat_map(results),
        "breaks": _breaks(results, trajectories, colours),
        "searches": _searches(searched, colours),
    }


# ------------------------------------------------------------------------------ heat map


def heat_map(results: Results) -> Figure | None:
    """Rows are aligned arms with their decoder, columns attacks; one panel per measure."""
    import matplotlib.pyplot as plt

    arms = [row for row in rows(results) if row.arm.alignment != NONE]
    attacks = list(dict.fromkeys(c.attack for c in results.measured if c.arm.alignment != NONE))
    if not arms or len(attacks) < FEWEST_ATTACKS:
        return None
    figure, axes = plt.subplots(
        3,
        1,
        figsize=(max(6.0, 0.62 * len(attacks) + 3), 3 * (0.27 * len(arms) + 0.5) + 1.4),
        sharex=True,
        layout="constrained",
    )
    shown = {(row, attack): _values(results, row, attack) for row in arms for attack in attacks}
    titles = ("attack success, %", "over-refusal, %", "capability, %")
    for measure, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        numbers_RA = np.array([[100 * shown[r, a][measure] for a in attacks] for r in arms])
        _map(axis, numbers_RA, "Reds" if measure < 2 else "Greens")
        axis.set_yticks(range(len(arms)), [row.label for row in arms])
        axis.set_title(title, loc="left")
    for (row, attack), values in shown.items():
        if values[3]:
            place = (attacks.index(attack) + 0.32, arms.index(row) - 0.18)
            axes[0].annotate("†", place, ha="center", va="center", fontsize=7)
    axes[2].set_xticks(range(len(attacks)), attacks, rotation=40, ha="right")
    plt.close(figure)
    return figure


def _values(results: Results, row: Row, attack: str) -> tuple[float, float, float, int]:
    """Success, over-refusal and capability of one attacked model; seeds in which it collapsed."""
    cell = success_cell(results.config, row.arm, attack, row.decoder)
    levels = (results.level(cell), *beside(results, cell))
    if any(level is None for level in levels):
        return math.nan, math.nan, math.nan, 0
    success, refusal, capability = (level.interval.value for level in levels if level)
    return success, refusal, capability, results.num_collapsed(cell)


def _map(axis: Axes, numbers_RA: np.ndarray, colours: str) -> None:
    axis.imshow(numbers_RA, cmap=colours, vmin=0, vmax=100, aspect="auto")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    for (row, column), value in np.ndenumerate(numbers_RA):
        if not math.isnan(value):
            dark = "white" if value > 60 else "#222222"
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", color=dark, fontsize=8)


# ------------------------------------------------------------------------- cost to break


def _breaks(
    results: Results, trajectories: list[Trajectory], colours: dict[str, str]
) -> Figure | None:
    """One column per attack (and recipe): compliance, capability, share of models not broken."""
    import matplotlib.pyplot as plt

    shown = [each for each in trajectories if not is_benign(results.config, each.attack)]
    attacks = dict.fromkeys(each.attack for each in shown)
    columns = list(product(attacks, panels((each.arm for each in shown), colours)))
    if not columns:
        return None
    figure, axes = plt.subplots(
        3, len(columns), figsize=(max(5.0, 3.4 * len(columns)), 6.6), squeeze=False,
        sharex="col", sharey="row", layout="constrained",
    )  # fmt: skip
    for column, (attack, panel) in enumerate(columns):
        for arm, style in panel.styles.items():
            own = [each for each in shown if (each.attack, each.arm) == (attack, arm)]
            _watched(
                list(axes[:, column]), own, style, results.config, each_seed=not panel.is_crowded
            )
        axes[0][column].set_title(f"{panel.title} {attack}".strip())
    _label_breaks(axes, 100 * results.config.cost_to_break.complied)
    legend_below(figure, axes[0], 4)
    plt.close(figure)
    return figure


def _label_breaks(axes: np.ndarray, complied_percent: float) -> None:
    """Labels and scales of all panels; a dotted line where compliance counts as broken."""
    for axis in axes[2]:
        axis.set_xscale("symlog", linthresh=1)  # linear up to step 1, because step 0 is shown
        axis.xaxis.set_major_formatter("{x:.0f}")
        axis.set_xlabel("steps of the attack")
    labels = ("hazards complied with, %", "capability, %", "models not broken, %")
    for row, label in enumerate(labels):
        axes[row][0].set(ylabel=label, ylim=(-3, 103))
    for axis in axes[0]:
        axis.axhline(complied_percent, color="#999999", linewidth=0.8, linestyle=":")


def _watched(
    axes: Sequence[Axes],
    own: list[Trajectory],
    style: LineStyle,
    config: Config,
    *,
    each_seed: bool,
) -> None:
    """One arm under one attack: compliance, capability and survival, one below the other."""
    if not own:
        return
    for axis, what in zip(axes, ("complied", "capability"), strict=False):
        curves = [{x.step: 100 * getattr(x, what) for x in each.snapshots} for each in own]
        _lines(axis, curves, style, each_seed=each_seed)
    breaks = find_breaks(own, config.cost_to_break)
    steps, shares = survival([one for one in breaks if one.by == COMPLIANCE])
    axes[2].step(steps, 100 * shares, where="post", **style._asdict())


def _lines(
    axis: Axes, curves: list[dict[int, float]], style: LineStyle, *, each_seed: bool
) -> None:
    """The mean over seeds, thick, as far as all were looked at; each seed thin, or what is beyond.

    Tuned attackers have other numbers of steps in other seeds.
    """
    common = [step for step in curves[0] if all(step in curve for curve in curves)]
    for curve in curves:
        thin = [step for step in curve if each_seed or step >= common[-1]]
        values = [curve[step] for step in thin]
        axis.plot(thin, values, linewidth=0.7, alpha=0.7, color=style.color)
    means = [float(np.mean([curve[step] for curve in curves])) for step in common]
    axis.plot(common, means, marker=".", markersize=4, linewidth=1.6, **style._asdict())


# ------------------------------------------------------------------------------ searches


def _searches(searched: list[Searched], colours: dict[str, str]) -> Figure | None:
    """Best attack success so far, one panel per search (and recipe), once all seeds have one."""
    import matplotlib.pyplot as plt

    names = dict.fromkeys(each.search for each in searched)
    columns = list(product(names, panels((each.arm for each in searched), colours)))
    if not columns:
        return None
    figure, axes = plt.subplots(
        1, len(columns), figsize=(max(5.0, 3.6 * len(columns)), 3.2), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    for axis, (name, panel) in zip(axes[0], columns, strict=True):
        for arm, style in panel.styles.items():
            own = [s.best_so_far for s in searched if (s.search, s.arm) == (name, arm)]
            means = 100 * np.mean(own, axis=0) if own else []
            axis.step(range(1, len(means) + 1), means, where="post", **style._asdict())
        axis.set(title=f"{panel.title} {name}".strip(), xlabel="trials", ylim=(-3, 103))
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0][0].set_ylabel("attack success on tuning requests, %")
    legend_below(figure, axes[0], 4)
    plt.close(figure)
    return figure
