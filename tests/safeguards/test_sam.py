"""SAM and ASAM against differences of the losses that they look at."""

from __future__ import annotations

import math

import pytest

from rebar.safeguards.sam import Config, gradient
from rebar.training.safeguarded import State
from tests.safeguards.tiny import (
    Gradient,
    batches,
    cross_entropy,
    distance,
    flat,
    numeric_gradient,
    plus,
    tiny_network,
    weights,
)


def worst_step(theta: Gradient, slope: Gradient, rho: float, adaptive: bool) -> Gradient:
    """The formulas of 2010.01412 and 2102.11600 on one flat vector."""
    if not adaptive:
        return {name: rho * g / float(flat(slope).norm()) for name, g in slope.items()}
    length = float((flat(theta).abs() * flat(slope)).norm())
    return {name: rho * theta[name] ** 2 * g / length for name, g in slope.items()}


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_gradient_is_taken_at_the_worst_point(adaptive: bool) -> None:
    model, data = tiny_network(), batches()
    loss, theta = cross_entropy(data.language), weights(model)
    config = Config(method="sam", adaptive=adaptive)
    step = worst_step(theta, numeric_gradient(model, loss), 2.0 if adaptive else 0.05, adaptive)
    expected = numeric_gradient(model, loss, at=plus((1, theta), (1, step)))
    found = gradient(config, model, data, State())
    assert distance(found, expected) < 1e-5
    assert distance(found, numeric_gradient(model, loss)) > 1e-2  # it is another gradient


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(("on", "sign"), [("refusal", 1), ("harmful", -1)])
def test_a_safety_loss_comes_beside_plain_training(on: str, sign: int, adaptive: bool) -> None:
    model, data, theta = tiny_network(), batches(), weights(tiny_network())
    config = Config(method="sam", on=on, adaptive=adaptive, rho=0.1, weight=0.7)
    safety = cross_entropy(getattr(data, on))
    step = worst_step(theta, numeric_gradient(model, safety), 0.1, adaptive)

    def objective(model):
        return safety(model) if on == "refusal" else (1 + safety(model)).log()

    there = numeric_gradient(model, objective, at=plus((1, theta), (sign, step)))
    plain = numeric_gradient(model, cross_entropy(data.language))
    found = gradient(config, model, data, State())
    assert distance(found, plus((1, plain), (sign * 0.7, there))) < 1e-5


def test_the_look_ahead_sees_a_lower_harmful_loss_and_tells_it() -> None:
    model, data, state = tiny_network(), batches(), State()
    here = cross_entropy(data.harmful)(model).item()
    gradient(Config(method="sam", on="harmful", rho=0.1), model, data, state)
    assert here - 1 < float(state.log["harmful_loss"]) < here


def test_without_a_radius_it_is_plain_training() -> None:
    model, data = tiny_network(), batches()
    plain = numeric_gradient(model, cross_entropy(data.language))
    found = gradient(Config(method="sam", rho=0.0), model, data, State())
    assert distance(found, plain) < 1e-5


def test_published_radii_and_passes() -> None:
    sam, asam = Config(method="sam"), Config(method="sam", adaptive=True)
    assert (sam.radius, asam.radius) == (0.05, 2.0)
    assert (sam.passes, asam.passes) == (2, 2)
    assert Config(method="sam", on="harmful").passes == 3
    assert math.isclose(Config(method="sam", adaptive=True, rho=0.3).radius, 0.3)
