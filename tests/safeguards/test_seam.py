"""SEAM against differences of its losses and against the exact gradient of its cosine."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from rebar.config.safeguard import Safeguard
from rebar.model.forward import layers_loss
from rebar.safeguards.seam import Config, gradient
from rebar.training.safeguarded import Batches, State
from tests.model.tiny import settings, tiny_llama
from tests.safeguards.tiny import (
    Gradient,
    batch,
    batches,
    cross_entropy,
    distance,
    flat,
    numeric_gradient,
    plus,
    tiny_network,
)


def cosine_gradient(model: nn.Module, data: Batches) -> tuple[float, Gradient]:
    """Cosine of the two gradients, and its exact gradient by a second backward."""
    parameters = dict(model.named_parameters())
    slopes = []
    for part in (data.harmful, data.benign):
        with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no second derivative
            loss = cross_entropy(part)(model)
        found = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        slopes.append(torch.cat([g.flatten() for g in found]))
    cosine = F.cosine_similarity(slopes[0], slopes[1], dim=0)
    second = torch.autograd.grad(cosine, list(parameters.values()))
    return cosine.item(), dict(zip(parameters, second, strict=True))


def lens_loss(model: nn.Module, data) -> Tensor:
    """Each layer's output through norm and head, from transformers' own hidden states."""
    states = model(input_ids=data.inputs_BT, output_hidden_states=True).hidden_states
    normed = [*(model.model.norm(hidden) for hidden in states[1:-1]), states[-1]]
    targets = data.targets_BT.flatten()
    losses = [F.cross_entropy(model.lm_head(h).flatten(0, 1), targets) for h in normed]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_difference_is_the_exact_gradient_of_the_cosine(seed: int) -> None:
    """Found by linearity in beta: what one more beta adds."""
    model, data, state = tiny_network(seed), batches(), State()
    with_cosine = gradient(Config(method="seam", beta=1.0, epsilon=1e-4), model, data, state)
    without = gradient(Config(method="seam", beta=0.0), model, data, State())
    cosine, expected = cosine_gradient(model, data)
    assert distance(plus((1, with_cosine), (-1, without)), expected) < 1e-3
    assert float(state.log["cosine"]) == pytest.approx(cosine, rel=1e-5)


def test_the_published_step_is_short_enough() -> None:
    model, data = tiny_network(), batches()
    found = gradient(Config(method="seam", beta=1.0), model, data, State())
    without = gradient(Config(method="seam", beta=0.0), model, data, State())
    exact = cosine_gradient(model, data)[1]
    assert distance(plus((1, found), (-1, without)), exact) < 1e-2


@pytest.mark.parametrize("benign_weight", [0.0, 0.5])
def test_unlearning_and_refusals_follow_their_losses(benign_weight: float) -> None:
    model, data, state = tiny_network(), batches(), State()
    config = Config(method="seam", alpha=0.7, beta=0.02, epsilon=1e-4, benign_weight=benign_weight)
    found = gradient(config, model, data, state)

    def unlearning(model: nn.Module) -> Tensor:
        return -(1 + lens_loss(model, data.harmful)).log()

    cosine, opposing = cosine_gradient(model, data)
    refusal, benign = cross_entropy(data.refusal), cross_entropy(data.benign)
    expected = plus(
        (1, numeric_gradient(model, unlearning)),
        (0.7, numeric_gradient(model, refusal)),
        (0.02, opposing),
        (benign_weight, numeric_gradient(model, benign)),
    )
    assert distance(found, expected) < 1e-3
    total = unlearning(model).item() + 0.7 * refusal(model).item() + 0.02 * cosine
    total += benign_weight * benign(model).item()
    assert float(state.log["loss"]) == pytest.approx(total, rel=1e-4)


def test_a_short_step_along_it_turns_the_gradients_apart() -> None:
    model, data = tiny_network(), batches()
    before, exact = cosine_gradient(model, data)
    config = Config(method="seam", alpha=0.0, beta=1e4)
    direction = gradient(config, model, data, State())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter -= 0.01 * direction[name] / flat(direction).norm()
    after = cosine_gradient(model, data)[0]
    assert after < before - 0.005 * float(flat(exact).norm())


def test_differences_are_taken_in_float32_whatever_the_runs_precision() -> None:
    """In bf16 the published step changes no weight that the forward sees."""
    model, data = tiny_llama(deviation=0.1).train(), batches()
    added = []
    for precision in ("float32", "bf16"):
        terms = []
        for beta in (1.0, 0.0):
            state = State(settings(precision=precision))
            terms.append(gradient(Config(method="seam", beta=beta), model, data, state))
        added.append(plus((1, terms[0]), (-1, terms[1])))
    assert distance(added[1], added[0]) < 1e-3


def test_layers_are_read_alike_by_both_forwards() -> None:
    model, data = tiny_llama(), batch(1)
    ours = layers_loss(model, *data)
    model.config.attention_dropout = 1e-9  # such models run transformers' own forward
    theirs = layers_loss(model.eval(), *data)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert ours.item() == pytest.approx(lens_loss(model, data).item(), rel=1e-5)


def test_other_decoders_are_refused() -> None:
    with pytest.raises(ValueError, match="Linear: reading each layer"):
        layers_loss(nn.Linear(1, 1), *batch(1))


def test_the_stages_own_loss_comes_in_by_its_weight_for_a_pass_more() -> None:
    """In a combination too: the rule takes plain training away once a part, and this adds it."""
    model, data = tiny_network(), batches()
    silent, aware = Config(method="seam"), Config(method="seam", language_weight=0.5)
    assert (silent.passes, aware.passes) == (6, 7)
    plain = numeric_gradient(model, cross_entropy(data.language))
    found = gradient(aware, model, data, State())
    assert distance(found, plus((1, gradient(silent, model, data, State())), (0.5, plain))) < 1e-5


def test_in_pretraining_something_learns_the_text() -> None:
    with pytest.raises(ValueError, match=r"language_weight of seam is 0: .* set it to 1"):
        Safeguard(acts_in="pretraining", parts=[Config(method="seam")])
    Safeguard(acts_in="pretraining", parts=[Config(method="seam", language_weight=1.0)])
