"""Figures as PNG and SVG files; equal numbers give equal bytes.

Colour stands for the recipe, except among many arms of one recipe (arm_lines.py). The plots of the
comparison are in plots.py, those of the attack bench in bench_plots.py, those of the loss landscape
in probe_plots.py; the plot of the data card is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rebar.reporting.figures.bench_plots import BENCH_FIGURES, bench_figures
from rebar.reporting.figures.plots import colours_of, halves, knowledge, ladder
from rebar.reporting.figures.probe_plots import PROBE_FIGURES, probe_figures
from rebar.reporting.measures.aggregate import Results
from rebar.reporting.measures.breaks import Trajectory
from rebar.reporting.measures.card import COLLECTED, LEVELS, Card
from rebar.reporting.measures.probe_rows import Number
from rebar.reporting.measures.searches import Searched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "svg.hashsalt": "rebar",
    "svg.fonttype": "path",
    "hatch.linewidth": 0.6,
}
FIGURES = {
    "ladder": "The ladder: attack success of each recipe in each state of its model, with "
    "over-refusal and capability of the same model below.",
    "knowledge": "Refusal against knowledge: does a model refuse, or does it not know?",
    "halves": "Openings that rewritten and refusal texts use too (seen) against openings that they "
    "never use (unseen).",
    "data": "Data safety report card: scores and rates of harmful phrases, before and after.",
    **BENCH_FIGURES,
    **PROBE_FIGURES,
}


Bench = tuple[list[Trajectory], list[Searched]]


class Drawn(NamedTuple):
    """A figure that was written: its name, caption and PNG file."""

    name: str
    title: str
    png: Path


def draw_figures(
    results: Results, cards: list[Card], numbers: list[Number], bench: Bench, folder: Path
) -> list[Drawn]:
    """Draw and save every figure that the grid has numbers for."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with matplotlib.rc_context(STYLE):
        figures = {
            "ladder": ladder(results),
            "knowledge": knowledge(results),
            "halves": halves(results),
            "data": _data(cards, colours_of(results)),
            **bench_figures(results, *bench, colours_of(results)),
            **probe_figures(numbers, colours_of(results)),
        }
        for name, figure in figures.items():
            if figure is not None:
                drawn.append(Drawn(name, FIGURES[name], _save(figure, folder, name)))
    return drawn


def _save(figure: Figure, folder: Path, name: str) -> Path:
    """Write PNG and SVG without dates, each complete once it exists; return the PNG."""
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        temporary = folder / f".{name}.{kind}"
        figure.savefig(temporary, format=kind, dpi=150, bbox_inches="tight", metadata=metadata)
        temporary.replace(folder / f"{name}.{kind}")
    return folder / f"{name}.png"


def _data(cards: list[Card], colours: dict[str, str]) -> Figure | None:
    """Scores (log scale) and harmful phrases per million words: collected, and each recipe."""
    import matplotlib.pyplot as plt

    if not cards:
        return None
    names = [corpus.name for corpus in cards[0].corpora]
    colours = {COLLECTED: "#222222"} | colours
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3.6), width_ratios=[2.2, 1], layout="constrained"
    )
    _draw_scores(left, cards, names, colours)
    figure.legend(loc="outside lower center", frameon=False, ncols=min(len(names), 9))
    _draw_phrases(right, cards, names, colours)
    plt.close(figure)
    return figure


def _draw_scores(axis: Axes, cards: list[Card], names: list[str], colours: dict[str, str]) -> None:
    """Share of documents at each score; one bar per corpus."""
    width = 0.85 / len(names)
    for index, name in enumerate(names):
        histograms = [card.corpora[index].histogram for card in cards]
        counts = [sum(histogram[level] for histogram in histograms) for level in LEVELS]
        shares = [100 * count / max(1, sum(counts)) for count in counts]
        positions = [level + (index - (len(names) - 1) / 2) * width for level in LEVELS]
        axis.bar(positions, shares, width, color=colours[name], label=name)
    axis.set(xlabel="safety score (0 safe - 5 highly unsafe)", ylabel="documents, %")
    axis.set(title="scores by the classifier", yscale="log", ylim=(0.01, 130))
    axis.set_yticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])


def _draw_phrases(axis: Axes, cards: list[Card], names: list[str], colours: dict[str, str]) -> None:
    """Harmful phrases per million words: the mean as a bar, each seed as a tick."""
    for index, name in enumerate(names):
        rates = [card.corpora[index].phrases_per_million for card in cards]
        axis.barh(index, sum(rates) / len(rates), color=colours[name])
        axis.plot(rates, [index] * len(rates), "|", color="#222222", markersize=8)
    axis.set(title="harmful phrases", xlabel="per million words (bar: mean, ticks: seeds)")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.locator_params(axis="x", nbins=4)
