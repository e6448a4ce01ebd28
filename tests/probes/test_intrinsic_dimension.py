"""Random subspaces: Fastfood is what it says, and planted dimensions are found."""

from __future__ import annotations

import math
import random

import pytest
import torch
from scipy.linalg import hadamard as matrix_of

from rebar.probes import intrinsic_dimension
from rebar.probes.intrinsic_dimension import Fastfood, hadamard
from tests.probes.stand_ins import Known, Vector, all_losses, found, quadratic

HERE = {"w": torch.zeros(1)}  # where the products lie


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    fastfood = Fastfood(rows, columns, random.Random(seed), HERE)
    return torch.stack([fastfood.forward(unit) for unit in torch.eye(columns)], dim=1)


def rows_of(model, loss, **changes):
    values = {"steps": 300, "learning_rates": [0.1], "full_learning_rates": [0.1]}
    config = intrinsic_dimension.Config(
        method="intrinsic_dimension", **(values | {"projections": 1} | changes)
    )
    return intrinsic_dimension.probe(config, model, None, Known(all_losses(loss)))


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_the_fast_product_is_hadamards(size: int) -> None:
    x = torch.randn(size)
    wanted = torch.from_numpy(matrix_of(size)).float() @ x
    assert torch.allclose(hadamard(x), wanted, atol=1e-4)


def test_columns_have_length_1_and_little_in_common() -> None:
    p_Dd = matrix(1024, 16)
    assert torch.allclose(p_Dd.norm(dim=0), torch.ones(16), atol=1e-5)
    between = p_Dd.T @ p_Dd - torch.eye(16)
    assert between.abs().max() < 0.2
    assert torch.linalg.matrix_rank(matrix(13, 5)) == 5
    assert matrix(13, 5).norm(dim=0).mean() == pytest.approx((13 / 16) ** 0.5, abs=0.15)


def test_the_transposed_product_is_the_transposed_matrix() -> None:
    fastfood = Fastfood(13, 5, random.Random(0), HERE)
    p_Dd, g_D = matrix(13, 5), torch.randn(13)
    assert torch.allclose(fastfood.transposed(g_D), p_Dd.T @ g_D, atol=1e-5)


def test_training_in_a_subspace_reaches_its_least_squares() -> None:
    centre = torch.randn(20, generator=torch.Generator().manual_seed(0))
    loss = quadratic(torch.eye(20), centre)
    rows = rows_of(Vector(torch.zeros(20)), loss, dimensions=[4], tasks=["harmful"])
    rng = Known({}).rng("subspace", 1, 4)
    fastfood = Fastfood(20, 4, rng, HERE)
    p_Dd = torch.stack([fastfood.forward(unit) for unit in torch.eye(4)], dim=1)
    inside = p_Dd @ torch.linalg.lstsq(p_Dd, centre[:, None]).solution
    assert found(rows, "gain", direction="subspace_1") == pytest.approx(
        [float(inside.square().sum()) / 2], abs=1e-3
    )
    whole = float(centre.square().sum()) / 2
    assert found(rows, "gain", direction="full") == pytest.approx([whole], abs=1e-3)


def test_a_planted_dimension_is_found() -> None:
    """Li et al.'s toy: ten sums are asked for, so ten dimensions suffice of a thousand.

    16 is the first power of two that has them.
    """
    targets = torch.linspace(-1.0, 1.0, 10)

    def loss(model: Vector) -> torch.Tensor:
        return (model.w.view(10, 100).sum(dim=1) - targets).square().sum()

    rows = rows_of(
        Vector(torch.zeros(1000)),
        loss,
        dimensions=[4, 8, 16, 32],
        share=0.999,
        steps=3000,
        learning_rates=[0.05],
        full_learning_rates=[1e-3],
        tasks=["harmful"],
    )
    assert found(rows, "d90") == [16]
    four, eight, sixteen, more = found(rows, "gain", direction="subspace_1")
    assert max(four, eight) < 0.99 * min(sixteen, more)


def test_zero_steps_gain_nothing_and_have_no_dimension() -> None:
    rows = rows_of(Vector(torch.zeros(8)), quadratic(torch.eye(8)), dimensions=[2], steps=0)
    assert set(found(rows, "gain")) == {0.0}
    assert found(rows, "d90") == [math.inf]


def test_dimensions_beyond_the_model_are_left_out() -> None:
    rows = rows_of(Vector(torch.zeros(8)), quadratic(torch.eye(8)), dimensions=[2, 16], steps=1)
    assert {row.dimension for row in rows if row.metric == "gain"} == {2, 8}
