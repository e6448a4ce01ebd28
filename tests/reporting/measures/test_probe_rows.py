"""Numbers of probes: from rows to files and back, to a table, to pictures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rebar import grid
from rebar.config.file import Config
from rebar.grid import Arm
from rebar.probes._data import Row
from rebar.reporting.figures.probe_plots import LOSSES, line_of, probe_figures
from rebar.reporting.measures.probe_rows import Number, probes_csv, read_numbers, write_rows
from rebar.reporting.tables.probe_table import SeedRange, scalar_table

ARMS = [Arm(recipe, "none", "sft") for recipe in ("raw", "safelm")]
NAN = math.nan


def number(metric: str, value: float, **names) -> Number:
    where = {"loss": "", "direction": "", "alpha": NAN, "beta": NAN, "dimension": NAN}
    given = {"arm": ARMS[0], "seed": 0, "probe": "p"}
    return Number(metric=metric, value=value, **(given | where | names))


def along(metric: str, alphas: list[float], **names) -> list[Number]:
    return [number(metric, a * a, alpha=a, **names) for a in alphas]


def everything(arm: Arm = ARMS[0]) -> list[Number]:
    """One of each picture."""
    found = along("refused", [-0.5, 0.0, 0.5], arm=arm, direction="layer_1")
    steps = [-1.0, 0.0, 1.0]
    for loss in LOSSES:
        where = {"arm": arm, "loss": loss}
        found += along("loss", steps, probe="land", direction="filter_1", **where)
        found += along("loss", steps, probe="land", direction="attack:x", **where)
        found += along("loss", [0.0, 0.5, 1.0], probe="way", direction="attack:x", **where)
        for beta in steps:
            found += along(
                "loss", steps, probe="land", direction="filter_1 x filter_2", beta=beta, **where
            )
    return found


def test_rows_survive_their_file(smoke: Config, tmp_path: Path) -> None:
    rows = [
        Row("loss", 1 / 3, "harmful", "filter_1", 0.1 + 0.2, -0.5),
        Row("d90", 64, "benign", "subspace_1"),
        Row("gain", 2.5, "benign", "full", dimension=123456789),
        Row("visage", math.nan),
    ]
    for arm in ARMS:
        for probe in grid.probes(smoke, arm):
            folder = tmp_path / grid.folder("probe", seed=11, **arm._asdict()) / probe
            write_rows(folder, rows if probe == "landscape" else [])
    found = read_numbers(tmp_path, smoke)
    assert [n.arm for n in found] == [ARMS[0]] * 4 + [ARMS[1]] * 4
    first, second, third, last = found[:4]
    assert first[1:3] == (11, "landscape")
    assert first[3:9] == ("loss", 0.333333333, "harmful", "filter_1", 0.3, -0.5)
    assert (second.value, second.alpha) == (64, pytest.approx(NAN, nan_ok=True))
    assert third.dimension == 123456789
    assert math.isnan(last.value)
    lines = probes_csv(tmp_path, smoke).splitlines()
    assert lines[0] == (
        "recipe,safeguard,alignment,seed,probe,metric,value,loss,direction,alpha,beta,dimension"
    )
    assert lines[1] == "raw,none,sft,11,landscape,loss,0.333333333,harmful,filter_1,0.3,-0.5,"
    assert len(lines) == 1 + 8


def test_the_table_has_single_numbers_with_their_errors_and_seeds() -> None:
    numbers = [
        *(number("trace", value, seed=seed, loss="benign") for seed, value in ((1, 3.0), (2, 5.0))),
        *(number("trace_error", 0.5, seed=seed, loss="benign") for seed in (1, 2)),
        number("visage", 0.5, arm=ARMS[1]),
        *everything(),
        number("gain", 1.0, dimension=8),
    ]
    arms, lines = scalar_table(numbers)
    assert arms == ARMS
    assert [line[:4] for line in lines] == [("p", "trace", "benign", ""), ("p", "visage", "", "")]
    assert lines[0].entries == [SeedRange(4.0, 3.0, 5.0, 2, 0.5), None]
    assert lines[1].entries == [None, SeedRange(0.5, 0.5, 0.5, 1, None)]
    assert scalar_table([]) == ([], [])


def test_a_line_is_the_mean_over_seeds_with_its_range() -> None:
    numbers = [
        number("loss", value, alpha=alpha, seed=seed)
        for alpha, values in ((0.5, (1.0, 3.0)), (0.0, (2.0, 2.0)))
        for seed, value in enumerate(values)
    ]
    assert line_of(numbers) == ([0.0, 0.5], [2.0, 2.0], [2.0, 1.0], [2.0, 3.0])


def test_each_picture_is_drawn_where_it_has_numbers() -> None:
    colours = {"raw": "#000000", "safelm": "#ff0000"}
    assert set(probe_figures([], colours).values()) == {None}
    numbers = [n for arm in ARMS for n in everything(arm)]
    figures = probe_figures(numbers, colours)
    axes = {
        name: [a for a in f.axes if a.get_label() != "<colorbar>"]
        for name, f in figures.items()
        if f
    }
    assert {name: len(found) for name, found in axes.items()} == {
        "basin": 1,
        "landscape": 2 * 3,  # random, and towards the attack
        "plane": 2 * 3,  # two arms
        "connectivity": 3,
    }
    curves = axes["basin"][0].get_lines()
    assert [list(curve.get_ydata()) for curve in curves[:2]] == [[25.0, 0.0, 25.0]] * 2
    titles = [axis.get_title() for axis in axes["landscape"][:3]]
    assert titles == ["harmful loss", "refusal loss", "benign loss"]
    assert axes["landscape"][3].get_xlabel() == "towards x"
    assert axes["plane"][0].get_xlabel() == "random direction"
    only = probe_figures(along("refused", [0.0]), colours)
    assert [name for name, figure in only.items() if figure] == ["basin"]


def test_arms_of_one_recipe_differ_by_their_dashes() -> None:
    others = [ARMS[0], ARMS[0]._replace(alignment="bolt_on")]
    numbers = [n for arm in others for n in along("refused", [0.0, 0.5], arm=arm)]
    figure = probe_figures(numbers, {"raw": "#000000"})["basin"]
    assert figure is not None
    assert [line.get_linestyle() for line in figure.axes[0].get_lines()[:2]] == ["-", "--"]
