"""Differentiating through fine-tuning, on functions whose derivative is found by differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.optim import Adam

from rebar.safeguards.mlac.unrolled import adam_step, adapted, no_moments

SIZES = {"first": (3, 2), "second": (4,)}


def start(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(s, generator=generator).double() for n, s in SIZES.items()}


def inner_loss(weights: dict[str, Tensor], step: int) -> Tensor:
    """Not quadratic, another one in each step, without some weights in the first."""
    value = (weights["first"] ** 2 @ torch.ones(2).double()).sin().sum() * (1 + step)
    return value if step == 0 else value + (weights["second"] * weights["first"].sum()).cos().sum()


def measure(weights: dict[str, Tensor]) -> Tensor:
    return (weights["first"].sum() * weights["second"]).tanh().sum() + weights["first"].exp().sum()


def found(weights: dict[str, Tensor], rate: float = 0.05, **how):
    how = {"steps": 5, "clip": 100.0, **how}
    return adapted(weights, torch.tensor(rate, dtype=torch.float64), inner_loss, measure, **how)


def mean(weights: dict[str, Tensor], rate: float = 0.05, **how) -> float:
    return float(found(weights, rate, **how).values.mean())


def differences(rate: float = 0.05, **how) -> Tensor:
    step, slopes = 1e-5, []
    for name, size in SIZES.items():
        for index in range(math.prod(size)):
            sides = []
            for side in (step, -step):
                weights = start()
                weights[name].view(-1)[index] += side
                sides.append(mean(weights, rate, **how))
            slopes.append((sides[0] - sides[1]) / (2 * step))
    return torch.tensor(slopes).double()


@pytest.mark.parametrize("clip", [100.0, 0.5])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_the_derivative_goes_through_all_steps(steps: int, clip: float) -> None:
    result = found(start(), steps=steps, clip=clip)
    exact = torch.cat([g.flatten() for g in result.gradient.values()])
    numeric = differences(steps=steps, clip=clip)
    assert float((exact - numeric).norm() / numeric.norm()) < 1e-6
    slope = (
        mean(start(), 0.05 + 1e-6, steps=steps) - mean(start(), 0.05 - 1e-6, steps=steps)
    ) / 2e-6
    if clip == 100.0:
        assert float(result.rate_gradient) == pytest.approx(slope, rel=1e-5, abs=1e-9)
    assert len(result.values) == steps + 1


@pytest.mark.parametrize("segment", [1, 2, 3, 5, 9])
def test_segments_change_nothing(segment: int) -> None:
    whole, cut = found(start()), found(start(), segment=segment)
    torch.testing.assert_close(cut.values, whole.values, rtol=0, atol=0)
    torch.testing.assert_close(cut.gradient, whole.gradient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(cut.rate_gradient, whole.rate_gradient, rtol=1e-12, atol=1e-12)


def test_the_start_weights_stay_as_they_are() -> None:
    weights = start()
    found(weights, segment=2)
    assert all(torch.equal(weights[name], value) for name, value in start().items())
    assert not any(weight.requires_grad for weight in weights.values())


def test_the_step_is_adams() -> None:
    """But for where epsilon stands, which large gradients do not see."""
    weights = torch.nn.Parameter(start()["first"].clone())
    optimizer = Adam([weights], lr=0.1)
    ours, moments = {"w": start()["first"]}, no_moments({"w": start()["first"]})
    for step in range(1, 6):
        weights.grad = 1e3 * (weights.detach() - step)
        ours, moments = adam_step(ours, {"w": 1e3 * (ours["w"] - step)}, moments, step, 0.1)
        optimizer.step()
    torch.testing.assert_close(ours["w"], weights.detach(), rtol=1e-9, atol=1e-9)


def test_memory_of_segments_is_that_of_one() -> None:
    """Numbers that autograd keeps at once, counted as they are saved and freed."""
    weights = {"w": torch.randn(20000, generator=torch.Generator().manual_seed(1)).double()}

    def peak(segment: int) -> int:
        alive, most = 0, 0

        class Kept:
            def __init__(self, tensor: Tensor) -> None:
                nonlocal alive, most
                self.tensor = tensor.detach()
                alive += tensor.numel() > 1000
                most = max(most, alive)

            def __del__(self) -> None:
                nonlocal alive
                alive -= self.tensor.numel() > 1000

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            adapted(
                weights,
                torch.tensor(0.1).double(),
                lambda w, step: (w["w"] ** 4).mean(),
                lambda w: (w["w"] ** 2).mean(),
                steps=12,
                clip=100.0,
                segment=segment,
            )
        return most

    assert peak(3) < 0.4 * peak(0)
