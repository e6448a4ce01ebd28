"""Curvature against closed forms, explicit Hessians and a second library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rebar.config.model import ProbeTexts
from rebar.probes import hessian
from rebar.probes._weights import along, difference, dot, gradient, set_weights
from tests.probes.stand_ins import (
    TEXTS,
    Known,
    Perceptron,
    Vector,
    all_losses,
    explicit_hessian,
    found,
    of_model,
    quadratic,
    symmetric,
    tiny,
    weights,
    world_data,
)

# Below the rank of a Perceptron's Hessian (19 of 32). Beyond it Lanczos has only rounding errors to
# go on with, and float32 adds eigenvalues that the matrix lacks: which ones depends on the kernels.
LANCZOS_STEPS = 18
EIGENVALUES = [6.0, 3.0, 1.0, 0.2, -4.0]
MATRIX = symmetric(EIGENVALUES)
POINT = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.5])


def rows_of(model, loss, end=None, **changes):
    attacks = [] if end is None else ["a"]
    config = hessian.Config(method="hessian", attacks=attacks, **changes)
    return hessian.probe(config, model, None, Known(all_losses(loss), {"a": end}))


def test_a_quadratic_has_the_eigenvalues_and_the_trace_of_its_matrix() -> None:
    rows = rows_of(Vector(POINT), quadratic(MATRIX), trace_samples=4000)
    for rank, value in enumerate(EIGENVALUES[:3], start=1):
        assert found(rows, f"eigenvalue_{rank}") == pytest.approx([value], abs=1e-3)
        assert found(rows, f"eigenvalue_{rank}_residual") == pytest.approx([0.0], abs=1e-3)
    (error,) = found(rows, "trace_error")
    assert found(rows, "trace") == pytest.approx([sum(EIGENVALUES)], abs=3 * error)
    assert error < 0.2
    diagonal = torch.diag(torch.tensor(EIGENVALUES))  # where Rademacher vectors make no error
    exact = rows_of(Vector(POINT), quadratic(diagonal), trace_samples=2)
    assert found(exact, "trace") == pytest.approx([sum(EIGENVALUES)], abs=1e-3)
    relative = float((torch.tensor(EIGENVALUES) * POINT**2).sum())
    assert found(exact, "relative_trace") == pytest.approx([relative], abs=1e-3)


def test_curvature_along_an_attack_is_the_form_of_the_matrix() -> None:
    step = torch.tensor([0.5, -1.0, 0.0, 2.0, 1.0])
    rows = rows_of(Vector(POINT), quadratic(MATRIX), {"w": POINT + step})
    whole = float(step @ MATRIX @ step)
    assert found(rows, "relative_curvature") == pytest.approx([whole], abs=1e-3)
    assert found(rows, "curvature") == pytest.approx([whole / float(step @ step)], abs=1e-3)
    same = rows_of(Vector(POINT), quadratic(MATRIX), {"w": POINT})
    assert found(same, "curvature") == [0.0]


def test_a_network_agrees_with_its_explicit_hessian() -> None:
    model = Perceptron()
    matrix = explicit_hessian(model)
    step = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    end = {name: p.detach() + step[name] for name, p in model.named_parameters()}
    rows = rows_of(
        model, of_model, end, eigenvalues=5, lanczos_steps=LANCZOS_STEPS, trace_samples=1
    )
    ours = [found(rows, f"eigenvalue_{rank}")[0] for rank in range(1, 6)]
    wanted = torch.linalg.eigvalsh(matrix).flip(0)[:5]
    assert ours == pytest.approx(wanted.tolist(), abs=1e-3)
    flat = torch.cat([part.flatten() for part in step.values()])
    assert found(rows, "relative_curvature") == pytest.approx(
        [float(flat @ matrix @ flat)], abs=1e-3
    )


def test_a_language_model_agrees_with_differences_of_its_gradients(tmp_path: Path) -> None:
    model, tokenizer = tiny(tmp_path / "released")
    tiny(tmp_path / "attacked", seed=1)
    data, texts = world_data({"a": tmp_path / "attacked"}), ProbeTexts(**TEXTS)
    config = hessian.Config(
        method="hessian", attacks=["a"], eigenvalues=0, trace_samples=0, texts=texts
    )
    rows = hessian.probe(config, model, tokenizer, data)
    model.double()
    end, start = data.attacked_weights("a", model), weights(model)
    step, loss, small = difference(start, end), data.losses(texts, tokenizer)["harmful"], 1e-3
    slopes = []
    for sign in (1, -1):
        set_weights(model, along(start, (sign * small, step)))
        slopes.append(float(dot(gradient(model, loss(model)), step)))
    wanted = (slopes[0] - slopes[1]) / (2 * small)
    assert found(rows, "relative_curvature") == pytest.approx([wanted], rel=1e-3)


def test_rescaling_changes_the_plain_values_and_not_the_relative_ones() -> None:
    models = [Perceptron(), Perceptron()]
    models[1].rescale(8.0)
    rows = [rows_of(m, of_model, lanczos_steps=LANCZOS_STEPS, trace_samples=10) for m in models]
    before, after = ([found(r, "eigenvalue_1")[0], found(r, "trace")[0]] for r in rows)
    assert after[0] > 2 * before[0] and after[1] > 2 * before[1]
    for metric in ("relative_eigenvalue_1", "relative_eigenvalue_2", "relative_trace"):
        assert found(rows[1], metric) == pytest.approx(found(rows[0], metric), abs=1e-3)


def test_patterns_choose_a_block_of_the_matrix() -> None:
    model = Perceptron()
    matrix = explicit_hessian(model)[:15, :15]  # first.weight stands in front
    rows = rows_of(
        model, of_model, parameters=["first.w*"], lanczos_steps=15, eigenvalues=1, trace_samples=0
    )
    top = torch.linalg.eigvalsh(matrix)[-1]
    assert found(rows, "eigenvalue_1") == pytest.approx([float(top)], abs=1e-3)
    assert not found(rows, "trace")
    with pytest.raises(ValueError, match="no parameter is named like 'third'"):
        rows_of(model, of_model, parameters=["third"])
