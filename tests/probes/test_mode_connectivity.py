"""Barriers on functions whose barriers are known."""

from __future__ import annotations

import pytest
import torch

from rebar.probes import mode_connectivity
from tests.probes.stand_ins import (
    Known,
    Perceptron,
    Vector,
    all_losses,
    found,
    of_model,
    quadratic,
    symmetric,
    weights,
)


def rows_of(model, loss, end, steps=20):
    settings = {"method": "mode_connectivity", "attacks": ["a"], "steps": steps}
    data = Known(all_losses(loss), {"a": end})
    return mode_connectivity.probe(mode_connectivity.Config(**settings), model, None, data)


def test_a_bowl_has_no_barrier() -> None:
    model = Vector(torch.tensor([1.0, -2.0]))
    rows = rows_of(model, quadratic(symmetric([3.0, 1.0])), {"w": torch.tensor([-1.0, 0.5])})
    assert found(rows, "barrier") == [0.0]


def test_a_hill_has_a_barrier_of_its_closed_form() -> None:
    """-(w'Aw)/2 lies a/8 above its chord in the middle, a = d'Ad, whatever the ends."""
    model, end = Vector(torch.tensor([1.0, -2.0])), torch.tensor([-1.0, 0.5])
    matrix, step = symmetric([3.0, 1.0]), end - torch.tensor([1.0, -2.0])
    rows = rows_of(model, quadratic(-matrix), {"w": end})
    wanted = float(step @ matrix @ step) / 8
    assert found(rows, "barrier") == pytest.approx([wanted], abs=1e-3)


def test_two_wells_are_one_hill_apart() -> None:
    model, end = Vector(torch.tensor([-1.0])), torch.tensor([1.0])
    rows = rows_of(model, lambda m: ((m.w**2 - 1) ** 2).sum(), {"w": end})
    assert found(rows, "barrier") == pytest.approx([1.0], abs=1e-6)
    line = found(rows, "loss")
    alphas = [row.alpha for row in rows if row.loss == "harmful" and row.metric == "loss"]
    wanted = [((2 * a - 1) ** 2 - 1) ** 2 for a in alphas]
    assert line == pytest.approx(wanted, abs=1e-3)


def test_the_ends_are_both_models_to_the_bit_and_the_middle_is_a_network_of_mean_weights() -> None:
    model, other = Perceptron(0), Perceptron(1)
    other.data = model.data
    middle = Perceptron(2)
    middle.data = model.data
    with torch.no_grad():
        for name, p in middle.named_parameters():
            p.copy_((weights(model)[name] + weights(other)[name]) / 2)
    wanted = [float(m().detach()) for m in (model, middle, other)]
    line = found(rows_of(model, of_model, weights(other)), "loss")
    assert [line[0], line[-1]] == [wanted[0], wanted[2]]
    assert line[10] == pytest.approx(wanted[1], abs=1e-6)


@pytest.mark.parametrize(
    ("line", "height"),
    [([0.0, 1.0, 0.0], 1.0), ([2.0, 2.5, 4.0], 0.0), ([2.0, 3.5, 4.0], 0.5), ([1.0, 3.0], 0.0)],
)
def test_a_barrier_stands_on_the_chord(line: list[float], height: float) -> None:
    assert mode_connectivity.barrier(line) == height
