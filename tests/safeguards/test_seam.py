"""SEAM against differences of its losses, and against the exact gradient of the cosine."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rebar.model.forward import language_loss
from rebar.model.safeguarded import State
from rebar.model.tamper_losses import lens_loss
from rebar.safeguards.seam import Config, gradient
from tests.model.tiny import settings, tiny_llama
from tests.safeguards.tiny import (
    Gradient,
    batches,
    cross_entropy,
    distance,
    numeric_gradient,
    plus,
    tiny_network,
)

ONLY = {"alpha": 0.0, "beta": 0.0, "unlearn_weight": 0.0}


def config(**values: float) -> Config:
    return Config(method="seam", **values)


def layers_loss(model: nn.Module) -> Tensor:
    """Mean over layers of the loss read there, by transformers' own hidden states."""
    data = batches().harmful
    states = model(input_ids=data.inputs_BT, output_hidden_states=True).hidden_states
    read = [model.lm_head(model.model.norm(h)) for h in states[1:-1]] + [model.lm_head(states[-1])]
    targets = data.targets_BT.flatten()
    return torch.stack([F.cross_entropy(x.flatten(0, 1), targets) for x in read]).mean()


def exact_cosine_gradient(model: nn.Module) -> Gradient:
    """By two backward passes through the gradients of both losses."""
    data, parameters = batches(), dict(model.named_parameters())
    slopes = [
        torch.autograd.grad(language_loss(model, *batch), [*parameters.values()], create_graph=True)
        for batch in (data.harmful, data.benign)
    ]
    first, second = (torch.cat([g.flatten() for g in slope]) for slope in slopes)
    cosine = first @ second / (first.norm() * second.norm())
    return dict(zip(parameters, torch.autograd.grad(cosine, [*parameters.values()]), strict=True))


def test_the_differences_are_the_cosines_gradient() -> None:
    """The error is proportional to the step."""
    model, errors = tiny_network(layers=3), []
    for epsilon in (1e-4, 1e-5):
        only = config(**ONLY | {"beta": 1.0, "epsilon": epsilon})
        found = gradient(only, model, batches(), State())
        errors.append(distance(found, exact_cosine_gradient(model)))
    assert errors[1] < 1e-3 and errors[0] == pytest.approx(10 * errors[1], rel=0.01)


def test_the_published_step_is_close_enough_in_float32() -> None:
    model = tiny_network().float()
    exact = exact_cosine_gradient(tiny_network())
    found = gradient(config(**ONLY | {"beta": 1.0}), model, batches(), State())
    assert distance(found, exact) < 0.02


def test_harm_is_unlearned_at_every_layer_and_the_logarithm_caps_it() -> None:
    model = tiny_network(layers=3)

    def objective(model: nn.Module) -> Tensor:
        return -(1 + layers_loss(model)).log()

    found = gradient(config(alpha=0.0, beta=0.0), model, batches(), State())
    assert distance(found, numeric_gradient(model, objective)) < 1e-5


def test_all_terms_add_up() -> None:
    model, data = tiny_network(), batches()
    parts = [
        (0.3, config(**ONLY | {"unlearn_weight": 1.0})),
        (0.7, config(**ONLY | {"alpha": 1.0})),
        (0.2, config(**ONLY | {"beta": 1.0})),
        (0.5, config(**ONLY | {"benign_weight": 1.0})),
    ]
    terms = [(scale, gradient(part, model, data, State())) for scale, part in parts]
    whole = config(unlearn_weight=0.3, alpha=0.7, beta=0.2, benign_weight=0.5)
    assert distance(gradient(whole, model, data, State()), plus(*terms)) < 1e-6
    refusals = numeric_gradient(model, cross_entropy(data.refusal))
    assert distance(terms[1][1], refusals) < 1e-5


def test_descent_turns_the_gradients_against_each_other() -> None:
    """The closing sign: minimising the cosine lowers it."""
    model, state = tiny_network(), State()
    setting, cosines = config(**ONLY | {"beta": 1.0, "epsilon": 1e-4}), []
    for _ in range(20):
        direction = gradient(setting, model, batches(), state)
        cosines.append(float(state.log["cosine"]))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter -= 0.01 * direction[name]
    assert cosines[-1] < cosines[0] - 0.1
    assert all(after < before for before, after in pairwise(cosines))


def test_differences_are_taken_in_float32_under_bf16() -> None:
    model = tiny_llama(deviation=0.1)
    coarse = State(training=settings(precision="bf16"))
    only = config(**ONLY | {"beta": 1.0})
    exact = gradient(only, model, batches(), State())
    assert distance(gradient(only, model, batches(), coarse), exact) < 1e-6


def test_the_lens_needs_a_final_norm_where_llama_has_it() -> None:
    class Other(nn.Module):
        base_model = nn.Module()

        def forward(self, **_):
            return type("Output", (), {"logits": torch.zeros(1, 1, 2), "hidden_states": ()})

    with pytest.raises(ValueError, match="models of the Llama kind"):
        lens_loss(Other(), torch.zeros(1, 1).long(), torch.zeros(1, 1).long())
