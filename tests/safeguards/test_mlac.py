"""MLAC's gradient against differences of its whole objective, the adversary's steps included."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rebar.safeguards.mlac import Config, gradient
from rebar.safeguards.mlac.linear_adversary import best_linear_loss
from rebar.training.batches import Batch
from rebar.training.safeguarded import State, plain_gradient
from tests.model.tiny import tiny_llama
from tests.safeguards import tiny
from tests.safeguards.tiny import (
    batch,
    batches,
    cross_entropy,
    distance,
    numeric_gradient,
    plus,
    tiny_network,
    weights,
)

STEPS = 3


@pytest.fixture(autouse=True)
def small_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam's step turns within gradients of 1e-4, the root of its epsilon."""
    monkeypatch.setattr(tiny, "STEP", 1e-6)


def more(kind: str, number: int) -> Batch:
    return batch(100 + number)


def settings(**changes) -> Config:
    small = {
        "inner_steps": STEPS,
        "linear_words": 4,
        "initial_rate": 1e-2,
        "rate_bounds": (1e-6, 1.0),
    }
    return Config(method="mlac", **{**small, **changes})


def measured(name: str, model: nn.Module) -> Tensor:
    data = batches().harmful
    if name == "linear":
        logits = model(input_ids=data.inputs_BT).logits
        counts = data.targets_BT != -100
        targets = data.targets_BT[counts]
        common = sorted(sorted(set(targets.tolist()), key=lambda w: -int((targets == w).sum()))[:4])
        kept = torch.tensor([int(t) in common for t in targets])
        labels = torch.tensor([common.index(int(t)) for t in targets[kept]])
        return best_linear_loss(logits[counts][kept][:, common], labels)
    loss = cross_entropy(data)(model)
    return loss if name == "loss" else (1 + loss).log()


def adversary_mean(name: str, head: Tensor | None, rate: float) -> Callable[[nn.Module], Tensor]:
    """The mean measure over 0..K steps, by first-order fine-tuning of a copy."""

    def objective(model: nn.Module) -> Tensor:
        model, moments = copy.deepcopy(model), {}
        if head is not None:
            model.lm_head.weight = nn.Parameter(head.clone())  # no longer tied
        values = [measured(name, model).detach()]
        for step in range(1, STEPS + 1):
            names, parameters = zip(*model.named_parameters(), strict=True)
            with torch.enable_grad():
                loss = cross_entropy(more("harmful", step))(model)
                found = torch.autograd.grad(loss, parameters)
            for key, p, g in zip(names, parameters, found, strict=True):
                mean, square = moments.get(key, (0.0, 0.0))
                mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
                moments[key] = mean, square
                scale = (square / (1 - 0.999**step) + 1e-8).sqrt()
                p.data -= rate * mean / (1 - 0.9**step) / scale
            values.append(measured(name, model).detach())
        return torch.stack(values).mean()

    return objective


@pytest.mark.parametrize("name", ["log_loss", "loss", "linear"])
@pytest.mark.parametrize("head", ["own", "learned"])
def test_the_gradient_is_exact_to_second_order(name: str, head: str) -> None:
    model, data, state = tiny_network(layers=1), batches(more), State()
    own = torch.randn(9, 4, generator=torch.Generator().manual_seed(4)).double()
    if head == "learned":
        state.memory["head"] = own
    plain = numeric_gradient(model, cross_entropy(data.language))
    objective = adversary_mean(name, own if head == "learned" else None, 1e-2)
    adapted = numeric_gradient(model, objective)
    found = gradient(settings(measure=name, head=head, weight=2.0), model, data, state)
    assert distance(found, plus((1, plain), (-2, adapted))) < 1e-4
    assert float(state.log["adapted_loss"]) == pytest.approx(float(objective(model)), rel=1e-6)


def test_first_order_would_not_do() -> None:
    """The test above sees the second order: without it the direction is another one."""
    model, data = tiny_network(layers=1), batches(more)
    adapted = numeric_gradient(model, adversary_mean("loss", None, 1e-2))
    unmoved = numeric_gradient(model, lambda m: measured("loss", m))
    assert distance(unmoved, adapted) > 0.01
    assert data.draw("harmful", 1).inputs_BT.shape == data.harmful.inputs_BT.shape


def test_the_adversary_learns_head_and_rate_along_their_gradients() -> None:
    """Adam's first step is its learning rate long, against the gradient's sign."""
    model, state = tiny_network(layers=1), State()
    gradient(settings(measure="loss", adversary_rate=1e-3), model, batches(more), state)
    before = model.lm_head.weight.detach()
    moved = state.memory["head"] - before
    steps = []
    for row, column in ((5, 0), (6, 3)):
        sides = []
        for side in (1e-4, -1e-4):
            head = before.clone()
            head[row, column] += side
            sides.append(float(adversary_mean("loss", head, 1e-2)(model)))
        steps.append((float(moved[row, column]), (sides[0] - sides[1]) / 2e-4))
    for step, slope in steps:
        assert abs(slope) > 1e-3
        assert step == pytest.approx(-1e-3 * math.copysign(1, slope), rel=0.05)
    rates = [float(adversary_mean("loss", before, 1e-2 * f)(model)) for f in (1.01, 0.99)]
    rise = float(state.memory["log_rate"]) - math.log(1e-2)
    assert rise * (rates[0] - rates[1]) < 0
    assert abs(rise) <= 1.01e-3


def test_the_learned_rate_stays_in_its_bounds() -> None:
    config = settings(rate_bounds=(0.009, 0.0101), adversary_rate=1.0)
    model, state = tiny_network(layers=1), State()
    for _ in range(3):
        gradient(config, model, batches(more), state)
        assert 0.009 <= float(state.memory["log_rate"].exp()) * (1 + 1e-9)
        assert float(state.memory["log_rate"].exp()) <= 0.0101 * (1 + 1e-9)


def test_a_drawn_rate_is_log_uniform_and_the_same_for_all_processes() -> None:
    config = settings(learning_rate="drawn", head="own", inner_steps=0)
    rates = []
    for step in [*range(120), 0]:
        state = State(seed=4, step=step)
        gradient(config, tiny_network(layers=1), batches(more), state)
        rates.append(math.log10(float(state.log["adversary_rate"])))
        assert not state.memory
    assert rates[0] == rates[-1]
    assert -4 <= min(rates) and max(rates) <= -2
    assert sum(rates) / len(rates) == pytest.approx(-3, abs=0.15)


@pytest.mark.parametrize("every", [1, 2])
def test_a_checkpointed_unroll_is_the_plain_one(every: int) -> None:
    whole, cut = State(), State()
    one = gradient(settings(), tiny_network(), batches(more), whole)
    other = gradient(settings(checkpoint_every=every), tiny_network(), batches(more), cut)
    assert distance(other, one) < 1e-10
    torch.testing.assert_close(cut.memory, whole.memory, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("steps", "every", "passes"), [(3, 0, 8), (16, 0, 34), (0, 0, 2), (5, 2, 16), (4, 2, 12)]
)
def test_passes_are_counted(steps: int, every: int, passes: int) -> None:
    """K differentiable + (K + 1) outer + the plain one; segments but the last once more."""
    config, model, calls = settings(inner_steps=steps, checkpoint_every=every), tiny_network(), []
    model.model.norm.register_forward_hook(lambda *a: calls.append(1))
    gradient(config, model, batches(more), State())
    assert len(calls) == config.passes == passes


def test_weight_zero_is_plain_training() -> None:
    model, data = tiny_network(), batches(more)
    plain = plain_gradient(model, data, State())
    found = gradient(settings(weight=0.0), model, data, State())
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_stay_as_they_are(dtype) -> None:
    model, state = tiny_llama(deviation=0.1).train().to(dtype), State()
    before = weights(model)
    found = gradient(settings(), model, batches(more), state)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    assert all(g.isfinite().all() and g.dtype == dtype for g in found.values())
    assert state.memory["head"].dtype == torch.float32


def test_an_untied_models_own_head_is_not_the_adversarys() -> None:
    model, data, state = tiny_network(layers=1), batches(more), State()
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False
    plain = plain_gradient(model, data, State())
    found = gradient(settings(), model, data, state)
    assert torch.equal(found["lm_head.weight"], plain["lm_head.weight"])
    assert not torch.equal(state.memory["head"], model.lm_head.weight)


def test_ranges_are_ranges() -> None:
    with pytest.raises(ValueError, match=r"drawn_rates: \[0\.1, 0\.01\] must be"):
        settings(drawn_rates=(0.1, 0.01))
    with pytest.raises(ValueError, match=r"initial_rate 2\.0 is outside of rate_bounds"):
        settings(initial_rate=2.0)
