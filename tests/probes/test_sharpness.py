"""Sharpness of known functions, and what a rescaling that changes no function does to it."""

from __future__ import annotations

import pytest
import torch

from rebar.probes import sharpness
from tests.probes.stand_ins import (
    Known,
    Perceptron,
    Vector,
    all_losses,
    found,
    of_model,
    quadratic,
    symmetric,
)

MATRIX = symmetric([4.0, 2.0, 1.0])
CENTRE = torch.tensor([1.0, -2.0, 0.5])


def rows_of(model, loss, **changes):
    config = sharpness.Config(method="sharpness", **changes)
    return sharpness.probe(config, model, None, Known(all_losses(loss)))


def test_at_a_minimum_the_worst_case_is_half_the_curvature() -> None:
    rows = rows_of(Vector(CENTRE), quadratic(MATRIX, CENTRE), steps=80, step_share=1.0)
    assert found(rows, "worst_case") == pytest.approx([0.05**2 * 4.0 / 2], rel=1e-3)
    relative = torch.diag(CENTRE.abs()) @ MATRIX @ torch.diag(CENTRE.abs())
    steepest = float(torch.linalg.eigvalsh(relative)[-1])
    assert found(rows, "adaptive_worst_case") == pytest.approx([0.5**2 * steepest / 2], rel=1e-3)
    assert found(rows, "deepest") == [0.0]


def test_on_a_slope_it_is_the_length_of_the_gradient() -> None:
    slope = torch.tensor([3.0, -1.0, 2.0])
    rows = rows_of(Vector(CENTRE), lambda model: slope @ model.w)
    worst, adaptive = 0.05 * slope.norm(), 0.5 * (slope * CENTRE).norm()
    assert found(rows, "worst_case") == pytest.approx([float(worst)], rel=1e-3)
    assert found(rows, "adaptive_worst_case") == pytest.approx([float(adaptive)], rel=1e-3)
    assert found(rows, "deepest") == pytest.approx([float(worst)], rel=1e-3)
    assert found(rows, "adaptive_deepest") == pytest.approx([float(adaptive)], rel=1e-3)
    assert not found(rows, "deepest", "benign")


def test_the_average_case_is_the_trace_in_units_of_the_weights() -> None:
    rows = rows_of(Vector(CENTRE), quadratic(MATRIX, CENTRE), samples=2000, deviation=0.1, steps=1)
    wanted = 0.1**2 / 2 * float((MATRIX.diagonal() * CENTRE**2).sum())
    (error,) = found(rows, "average_case_error")
    assert error < 0.05 * wanted
    assert found(rows, "average_case") == pytest.approx([wanted], abs=3 * error)


def test_rescaling_layers_changes_plain_sharpness_and_not_the_adaptive_one() -> None:
    plain, scaled = Perceptron(), Perceptron()
    scaled.rescale(8.0)  # a power of two: the function is the same to the bit
    assert torch.equal(plain().detach(), scaled().detach())
    rows = [rows_of(model, of_model, adaptive_radius=0.1) for model in (plain, scaled)]
    before, after = ([found(r, m) for m in METRICS] for r in rows)
    assert after[0][0] > 1.5 * before[0][0]
    assert after[1] == pytest.approx(before[1], rel=1e-5)
    assert after[2] == pytest.approx(before[2], rel=1e-5)


METRICS = ("worst_case", "adaptive_worst_case", "average_case")


def test_more_room_is_never_less_sharp() -> None:
    values = [
        found(rows_of(Perceptron(), of_model, radius=radius), "worst_case")[0]
        for radius in (0.01, 0.05, 0.25)
    ]
    assert 0 < values[0] < values[1] < values[2]
