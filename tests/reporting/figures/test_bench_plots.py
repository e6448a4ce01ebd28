"""Curves of the attack bench."""

from __future__ import annotations

import matplotlib
import pytest

from rebar.reporting.figures.arm_lines import LineStyle
from rebar.reporting.figures.bench_plots import _lines

matplotlib.use("Agg")


@pytest.mark.parametrize(("each_seed", "thin"), [(True, [0, 1, 2, 4]), (False, [2, 4])])
def test_a_mean_goes_as_far_as_every_seed(each_seed: bool, thin: list[int]) -> None:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots()
    curves: list[dict[int, float]] = [{0: 10, 1: 20, 2: 30, 4: 90}, {0: 30, 1: 20, 2: 50, 3: 60}]
    _lines(axis, curves, LineStyle("red", "-", "arm"), each_seed=each_seed)
    longer, _, mean = axis.get_lines()
    assert list(longer.get_xdata()) == thin
    assert list(mean.get_xdata()) == [0, 1, 2]
    assert list(mean.get_ydata()) == [20, 20, 40]
    plt.close(figure)
