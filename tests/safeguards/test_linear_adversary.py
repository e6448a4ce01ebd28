"""The best linear adversary against brute force and finite differences."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rebar.safeguards.mlac.linear_adversary import (
    best_linear_loss,
    best_linear_word_loss,
    best_matrix_CC,
)


def logits(examples: int = 12, classes: int = 2, scale: float = 1.0, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    values = scale * torch.randn(examples, classes, generator=generator, dtype=torch.float64)
    return values, torch.randint(classes, (examples,), generator=generator)


def grid_minimum(values: Tensor, targets: Tensor) -> float:
    """Over all matrices with entries on a grid of 41 between -1 and 1."""
    grid = torch.linspace(-1, 1, 41, dtype=torch.float64)
    best = math.inf
    for first, second in itertools.product(grid, grid):
        row = values @ torch.stack([first, second])
        others = values @ torch.cartesian_prod(grid, grid).T  # N x 1681
        scores = torch.stack([row[:, None].expand_as(others), others], dim=-1)
        logs = scores.log_softmax(-1)
        losses = -logs[torch.arange(len(values)), :, targets].mean(0)
        best = min(best, float(losses.min()))
    return best


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_it_is_the_minimum_over_the_box(scale: float) -> None:
    values, targets = logits(scale=scale)
    found, brute = float(best_linear_loss(values, targets)), grid_minimum(values, targets)
    assert brute - 2e-3 < found <= brute + 1e-12
    assert best_matrix_CC(values, targets).abs().max() <= 1


@pytest.mark.parametrize(("classes", "scale"), [(2, 0.5), (2, 3.0), (4, 1.0), (4, 4.0)])
def test_its_gradient_is_that_of_the_whole_minimum(classes: int, scale: float) -> None:
    values, targets = logits(20, classes, scale, seed=3)
    values.requires_grad_()
    (found,) = torch.autograd.grad(best_linear_loss(values, targets), values)
    numeric, step = torch.zeros_like(found), 1e-5
    for row, column in itertools.product(range(20), range(classes)):
        sides = []
        for side in (step, -step):
            moved = values.detach().clone()
            moved[row, column] += side
            sides.append(float(best_linear_loss(moved, targets)))  # solved anew
        numeric[row, column] = (sides[0] - sides[1]) / (2 * step)
    assert float((found - numeric).norm() / numeric.norm()) < 1e-4


def test_permuted_and_mixed_logits_do_not_hide_anything() -> None:
    values, targets = logits(40)
    values[torch.arange(40), targets] += 2
    swapped = values.flip(1)
    assert float(F.cross_entropy(swapped, targets)) > 1
    assert float(best_linear_loss(swapped, targets)) == pytest.approx(
        float(best_linear_loss(values, targets)), abs=1e-9
    )


def test_logits_that_say_nothing_cost_the_entropy_of_the_classes() -> None:
    targets = torch.tensor([0, 1, 2, 0, 1, 2])
    assert float(best_linear_loss(torch.ones(6, 3), targets)) == pytest.approx(math.log(3))


def test_words_are_the_commonest_targets() -> None:
    values, _ = logits(8, 6)
    targets = torch.tensor([4, 4, 4, 1, 1, 5, 0, 4])
    kept = torch.tensor([0, 1, 2, 3, 4, 7])  # words 1 and 4
    expected = best_linear_loss(values[kept][:, [1, 4]], torch.tensor([1, 1, 1, 0, 0, 1]))
    assert float(best_linear_word_loss(values, targets, 2)) == float(expected)
