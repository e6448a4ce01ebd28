"""Booster against differences of the losses in its objective."""

from __future__ import annotations

import pytest

from rebar.safeguards.booster import Config, gradient
from rebar.training.safeguarded import State
from tests.safeguards.tiny import (
    batches,
    cross_entropy,
    distance,
    flat,
    numeric_gradient,
    plus,
    tiny_network,
    weights,
)


@pytest.mark.parametrize("relative", [None, 0.05])
def test_an_attack_steps_gain_is_added_without_the_steps_derivative(relative) -> None:
    model, data, theta = tiny_network(), batches(), weights(tiny_network())
    config = Config(method="booster", alpha_relative=relative)
    harmful = cross_entropy(data.harmful)
    here = numeric_gradient(model, harmful)
    alpha = 0.1 if relative is None else relative * float(flat(theta).norm())
    attacked = plus((1, theta), (-alpha / float(flat(here).norm()), here))
    there = numeric_gradient(model, harmful, at=attacked)
    plain = numeric_gradient(model, cross_entropy(data.language))
    found = gradient(config, model, data, State())
    assert distance(found, plus((1, plain), (5, here), (-5, there))) < 1e-5


def test_a_step_of_no_length_gains_nothing() -> None:
    model, data, state = tiny_network(), batches(), State()
    plain = numeric_gradient(model, cross_entropy(data.language))
    found = gradient(Config(method="booster", alpha=0.0), model, data, state)
    assert distance(found, plain) < 1e-5
    assert float(state.log["attack_gain"]) == 0.0


def test_the_gain_of_a_short_step_is_its_length_times_the_slope() -> None:
    model, data, state = tiny_network(), batches(), State()
    slope = float(flat(numeric_gradient(model, cross_entropy(data.harmful))).norm())
    gradient(Config(method="booster", alpha=0.01), model, data, state)
    assert float(state.log["attack_gain"]) == pytest.approx(0.01 * slope, rel=0.05)
