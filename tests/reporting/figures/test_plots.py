"""Legends of grids with dozens of arms fit their figures."""

from __future__ import annotations

import io
import warnings

import matplotlib
import pytest

from rebar.reporting.figures.plots import legend_below

matplotlib.use("Agg")


@pytest.mark.parametrize(("count", "letters"), [(3, 20), (56, 45)])
def test_a_legend_below_leaves_room_for_the_panels(count: int, letters: int) -> None:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.0, 3.2), layout="constrained")
    for number in range(2 * count):  # each label twice, as over seeds
        axis.plot([0, 1], [0, number], label=f"{number % count:x<{letters}}")
    legend_below(figure, [axis], 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # panels that collapsed
        figure.savefig(io.BytesIO(), bbox_inches="tight")
    (legend,) = figure.legends
    assert len(legend.get_texts()) == count
    box = axis.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    assert box.width > 2.5 and box.height > 1.5
    plt.close(figure)
