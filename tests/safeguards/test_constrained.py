"""Constraints: differences of the losses, Cooper's trajectory, known multipliers, resumed ones."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import cooper
import pytest
import torch
from torch import Tensor, nn

from rebar.safeguards.constrained import Config, gradient
from rebar.training.batches import Batch
from rebar.training.safeguarded import Batches, State
from rebar.training.train import train
from tests.model.tiny import recorder, settings, tiny_llama
from tests.safeguards import runs
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

CENTRES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-0.5, 0.8]]).double()  # plain, refusal, harmful


def config(*constraints: dict[str, Any], **changes: Any) -> Config:
    plain = {"smoothing": 0.0, "multiplier_rate": 0.3}
    return Config(method="constrained", constraints=list(constraints), **{**plain, **changes})


class Quadratic(nn.Module):
    """Cross-entropy of a row of token i is 1 + half the squared distance to centre i."""

    def __init__(self, start: tuple[float, float] = (-0.4, 0.3)) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.tensor(start).double())

    def loss(self, number: int | Tensor, point: Tensor | None = None) -> Tensor:
        place = self.point if point is None else point
        return 1 + (place - CENTRES[number]).pow(2).sum(-1) / 2

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Any:
        first = -torch.expm1(self.loss(input_ids)).log()  # -log softmax of (first, 0) is the loss
        return types.SimpleNamespace(logits=torch.stack([first, torch.zeros_like(first)], -1))


def quadratic_batches() -> Batches:
    kinds = [Batch(torch.full((2, 1), i), torch.zeros(2, 1).long()) for i in (0, 2, 1)]
    return Batches(*kinds, kinds[0])


def descend(setting: Config, model: nn.Module, steps: int, rate: float = 0.1) -> tuple[list, State]:
    """Gradient descent under the constraints; points and multipliers after each step."""
    state, path = State(settings(steps=steps)), []
    for state.step in range(steps):
        state.shared = {}
        direction = gradient(setting, model, quadratic_batches(), state)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter -= rate * direction[name]
        known = [float(n) for key, n in state.memory.items() if "multiplier" in key]
        path.append([*model.point.tolist(), *known])
    return path, state


class Problem(cooper.ConstrainedMinimizationProblem):
    """The same constraints in Cooper's words."""

    def __init__(self, setting: Config, model: Quadratic) -> None:
        super().__init__()
        self.setting, self.model = setting, model
        multiplier = cooper.multipliers.DenseMultiplier(
            len(setting.constraints), dtype=torch.float64
        )
        self.safety = cooper.Constraint(
            constraint_type=cooper.ConstraintType.INEQUALITY, multiplier=multiplier
        )

    def compute_cmp_state(self) -> cooper.CMPState:
        found = torch.stack([self.violation(c.kind, c.bound) for c in self.setting.constraints])
        observed = {self.safety: cooper.ConstraintState(violation=found)}
        return cooper.CMPState(loss=self.model.loss(0), observed_constraints=observed)

    def violation(self, kind: str, bound: float) -> Tensor:
        point = self.model.point
        if kind == "refusal":
            return self.model.loss(1) - bound
        if kind == "tamper":
            slope = (point - CENTRES[2]).detach()
            length = self.setting.alpha_relative * point.detach().norm()
            point = point - length * slope / slope.norm()
        return bound - self.model.loss(2, point).clamp(max=bound + self.setting.margin)


def with_cooper(setting: Config, model: Quadratic, steps: int, rate: float = 0.1) -> list:
    problem, path = Problem(setting, model), []
    optimizer = cooper.optim.AlternatingDualPrimalOptimizer(
        problem,
        torch.optim.SGD(model.parameters(), lr=rate),
        torch.optim.SGD(problem.dual_parameters(), lr=setting.multiplier_rate, maximize=True),
    )
    for _ in range(steps):
        optimizer.roll()
        path.append([*model.point.tolist(), *problem.safety.multiplier.weight.tolist()])
    return path


@pytest.mark.parametrize(
    "constraints",
    [
        [("refusal", 1.125)],
        [("harmful", 1.3)],
        [("tamper", 1.4)],
        [("refusal", 1.3), ("harmful", 1.9), ("tamper", 1.8)],
    ],
)
def test_points_and_multipliers_follow_coopers(constraints: list[tuple[str, float]]) -> None:
    kinds = [{"kind": kind, "bound": bound} for kind, bound in constraints]
    setting = config(*kinds, alpha_relative=0.3, margin=0.2, largest_multiplier=1e9)
    found, _ = descend(setting, Quadratic(), 60)
    expected = with_cooper(setting, Quadratic(), 60)
    assert torch.allclose(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-6)
    assert max(row[2] for row in found) > 0.1  # the constraints do act


def test_the_multiplier_comes_to_the_known_price() -> None:
    """On the line from 0 to 1, half a step of 1 away: w + lambda (w - 1) = 0 at w = 1/2."""
    setting = config({"kind": "refusal", "bound": 1 + 0.5**2 / 2})
    path, _ = descend(setting, Quadratic((0.2, 0.0)), 800)
    assert path[-1] == pytest.approx([0.5, 0.0, 1.0], abs=1e-3)


def test_a_constraint_that_holds_changes_nothing() -> None:
    kinds = [{"kind": "refusal", "bound": 9.0}, {"kind": "harmful", "bound": 0.1}]
    path, _ = descend(config(*kinds), Quadratic(), 20)
    free = Quadratic()
    optimizer = torch.optim.SGD(free.parameters(), lr=0.1)
    for row in path:
        optimizer.zero_grad()
        free.loss(0).backward()
        optimizer.step()
        assert row[2:] == [0.0, 0.0]
    assert path[-1][:2] == pytest.approx(free.point.tolist(), rel=1e-6)


def test_training_within_the_bounds_is_plain_training_to_the_bit(tmp_path: Path) -> None:
    kinds = [{"kind": "refusal", "bound": 9.0}, {"kind": "tamper", "bound": 0.1}]
    ends = []
    for guard in (runs.safeguarded(runs.start(), config(*kinds)), None):
        model, folder = runs.start(), tmp_path / str(guard is None)
        folder.mkdir()
        train(model, runs.batch_at, settings(), recorder(folder), safeguard=guard)
        ends.append(weights(model))
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_a_broken_bound_raises_its_multiplier_until_it_holds() -> None:
    path, state = descend(config({"kind": "refusal", "bound": 1.02}), Quadratic(), 1500)
    assert [row[2] for row in path[:3]] == sorted(row[2] for row in path[:3])
    assert path[0][2] > 0
    assert float(state.log["refusal_loss"]) == pytest.approx(1.02, abs=1e-3)


def test_a_multiplier_has_a_cap() -> None:
    setting = config({"kind": "refusal", "bound": 0.0}, largest_multiplier=2.5)
    path, _ = descend(setting, Quadratic(), 60)
    assert max(row[2] for row in path) == 2.5 == path[-1][2]


def test_multipliers_see_the_smoothed_violation() -> None:
    setting = config({"kind": "refusal", "bound": 1.1}, smoothing=0.75, largest_multiplier=99)
    model, state, smoothed, multiplier = Quadratic(), State(settings(steps=9)), None, 0.0
    for state.step in range(9):
        state.shared = {}
        violation = model.loss(1).item() - 1.1
        smoothed = violation if smoothed is None else 0.75 * smoothed + 0.25 * violation
        multiplier = max(0.0, multiplier + 0.3 * smoothed)
        direction = gradient(setting, model, quadratic_batches(), state)
        assert float(state.log["refusal_multiplier"]) == pytest.approx(multiplier, rel=1e-5)
        with torch.no_grad():
            model.point -= 0.5 * direction["point"]


def test_constraints_count_from_their_start_and_every_so_often() -> None:
    kinds = [{"kind": "refusal", "bound": 0.0, "start": 0.5}, {"kind": "harmful", "bound": 5.0}]
    setting = config(*kinds, every=3)
    state, changed = State(settings(steps=12)), []
    for state.step in range(12):
        state.shared, before = {}, dict(state.memory)
        gradient(setting, Quadratic(), quadratic_batches(), state)
        moved = [k for k, n in state.memory.items() if n is not before.get(k)]
        changed.append(sorted(key for key in moved if "multiplier" in key))
    harmful, both = ["harmful_multiplier"], ["harmful_multiplier", "refusal_multiplier"]
    assert changed == [harmful, [], [], harmful, [], [], both, [], [], both, [], []]
    assert setting.passes == 1 + (1 + 0.5) / 3


def test_the_direction_is_that_of_the_lagrangian() -> None:
    model, data, theta = tiny_network(), batches(), weights(tiny_network())
    kinds = [{"kind": kind, "bound": bound} for kind, bound in (("refusal", 1.0), ("harmful", 9.0))]
    setting = config(*kinds, {"kind": "tamper", "bound": 9.0}, margin=20.0, alpha_relative=0.05)
    state = State()
    found = gradient(setting, model, data, state)
    refusal, harmful = cross_entropy(data.refusal), cross_entropy(data.harmful)
    slope = numeric_gradient(model, harmful)
    length = 0.05 * float(flat(theta).norm() / flat(slope).norm())
    attacked = plus((1, theta), (-length, slope))
    prices = {
        kind: float(state.log[f"{kind}_multiplier"]) for kind in ("refusal", "harmful", "tamper")
    }
    expected = plus(
        (1, numeric_gradient(model, cross_entropy(data.language))),
        (prices["refusal"], numeric_gradient(model, refusal)),
        (-prices["harmful"], slope),
        (-prices["tamper"], numeric_gradient(model, harmful, at=attacked)),
    )
    assert min(prices.values()) > 0.1
    assert distance(found, expected) < 1e-5


def test_ascent_stops_beyond_the_margin() -> None:
    model, data, state = tiny_network(), batches(), State()
    state.memory = {"harmful_multiplier": torch.tensor(2.0)}
    found = gradient(config({"kind": "harmful", "bound": 0.1}, margin=0.2), model, data, state)
    plain = numeric_gradient(model, cross_entropy(data.language))
    assert distance(found, plain) < 1e-5
    assert float(state.memory["harmful_multiplier"]) == pytest.approx(2.0 - 0.3 * 0.2)


def test_a_twins_loss_on_the_same_batch_is_the_bound() -> None:
    data, state = batches(), State(twins={"score0": tiny_llama(7)})
    setting = config({"kind": "harmful", "twin": "score0", "bound": 3.0}, margin=9.0)
    assert setting.twins == ["score0"]
    gradient(setting, tiny_llama(), data, state)
    twin = cross_entropy(data.harmful)(tiny_llama(7)).item()
    expected = 0.3 * max(0.0, twin + 3.0 - float(state.log["harmful_loss"]))
    assert float(state.log["harmful_multiplier"]) == pytest.approx(expected, rel=1e-4)
    assert expected > 0


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([{"kind": "refusal"}], "needs bound:, twin: or both"),
        ([{"kind": "harmful", "bound": 1.0}] * 2, "each kind once"),
    ],
)
def test_constraints_without_a_bound_or_twice_are_refused(constraints, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(*constraints)


def test_a_twin_is_a_recipe_or_its_aligned_model() -> None:
    with pytest.raises(ValueError, match="twin"):
        config({"kind": "harmful", "twin": "results/x/models/base"})
    both = config({"kind": "harmful", "twin": "a"}, {"kind": "refusal", "twin": "a/sft"})
    assert both.twins == ["a", "a/sft"]
