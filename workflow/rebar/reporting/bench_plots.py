"""The figures of the attack bench: every attack on every arm, costs to break, tuned attackers."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from rebar.config import NONE
from rebar.grid import Arm
from rebar.reporting.aggregate import Results
from rebar.reporting.breaks import COMPLIANCE, Trajectory, find_breaks
from rebar.reporting.comparison import Row, beside, rows, success_cell
from rebar.reporting.plots import legend_below
from rebar.reporting.resistance import is_benign, survival
from rebar.reporting.searches import Searched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BENCH_FIGURES = {
    "heat_map": "Every attack on every arm: attack success, with over-refusal and capability of "
    "the same attacked model below; a dagger marks a collapsed model.",
    "breaks": "Cost to break: watched models at steps 1, 2, 3, 5, 8, ... of an attack, and the "
    "share of models not yet broken (Kaplan-Meier).",
    "searches": "Tuned attackers: most attack success of a useful model after so many trials.",
}
FEWEST_ATTACKS = 2  # a map of one column is a list


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
    """Rows are aligned arms with their decoder, columns attacks; one panel a measure."""
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
    """A column an attack: compliance, capability, and the share of models not yet broken."""
    import matplotlib.pyplot as plt

    attacks = [
        attack
        for attack in dict.fromkeys(each.attack for each in trajectories)
        if not is_benign(results.config, attack)
    ]
    if not attacks:
        return None
    figure, axes = plt.subplots(
        3, len(attacks), figsize=(max(5.0, 3.4 * len(attacks)), 6.6), squeeze=False,
        sharex="col", sharey="row", layout="constrained",
    )  # fmt: skip
    for column, attack in enumerate(attacks):
        of_attack = [each for each in trajectories if each.attack == attack]
        for arm in dict.fromkeys(each.arm for each in of_attack):
            own = [each for each in of_attack if each.arm == arm]
            style = _style(results, arm, colours)
            _lines(axes[0][column], own, "complied", style)
            _lines(axes[1][column], own, "capability", style)
            breaks = find_breaks(own, results.config.cost_to_break)
            steps, shares = survival([one for one in breaks if one.by == COMPLIANCE])
            axes[2][column].step(steps, 100 * shares, where="post", **style)
        axes[0][column].set_title(attack)
        axes[2][column].set_xscale("symlog", linthresh=1)
        axes[2][column].set_xlabel("steps of the attack")
    labels = ("hazards complied with, %", "capability, %", "models not broken, %")
    for row, label in enumerate(labels):
        axes[row][0].set(ylabel=label, ylim=(-3, 103))
    watch = results.config.cost_to_break
    axes[0][0].axhline(100 * watch.complied, color="#999999", linewidth=0.8, linestyle=":")
    legend_below(figure, axes[0][0], 4)
    plt.close(figure)
    return figure


def _style(results: Results, arm: Arm, colours: dict[str, str]) -> dict[str, str]:
    """Colour means recipe; unusual alignments and safeguards are dashed."""
    usual = (NONE, results.config.report.control_alignment)
    dash = "-" if arm[1:] == usual else "--"
    label = Row(arm, "greedy").label
    return {"color": colours[arm.recipe], "linestyle": dash, "label": label}


def _lines(axis: Axes, own: list[Trajectory], what: str, style: dict[str, str]) -> None:
    """The mean over seeds, thick; each seed thin."""
    by_step: dict[int, list[float]] = defaultdict(list)
    for each in own:
        values = [100 * getattr(look, what) for look in each.looks]
        if len(own) > 1:
            thin = {"linewidth": 0.5, "alpha": 0.5, "color": style["color"]}
            axis.plot([look.step for look in each.looks], values, **thin)  # type: ignore[arg-type]
        for look, value in zip(each.looks, values, strict=True):
            by_step[look.step].append(value)
    means = [float(np.mean(values)) for values in by_step.values()]
    axis.plot(list(by_step), means, marker=".", markersize=4, linewidth=1.6, **style)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ searches


def _searches(searched: list[Searched], colours: dict[str, str]) -> Figure | None:
    """Best-so-far curves, a panel a search; the first trial is the attack's own setting."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(each.search for each in searched))
    if not names:
        return None
    figure, axes = plt.subplots(
        1, len(names), figsize=(max(5.0, 3.6 * len(names)), 3.2), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    for axis, name in zip(axes[0], names, strict=True):
        for each in (one for one in searched if one.search == name):
            trials = range(1, len(each.best_so_far) + 1)
            label = Row(each.arm, "greedy").label
            curve = [100 * value for value in each.best_so_far]
            axis.step(trials, curve, where="post", color=colours[each.arm.recipe], label=label)
        axis.set(title=name, xlabel="trials", ylim=(-3, 103))
    axes[0][0].set_ylabel("attack success on tuning requests, %")
    legend_below(figure, axes[0][0], 4)
    plt.close(figure)
    return figure
