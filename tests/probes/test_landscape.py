"""Landscapes: exact at alpha = 0, and those of known functions elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rebar.config.model import ProbeTexts
from rebar.probes import landscape
from rebar.probes._data import LOSSES, evaluate_losses
from rebar.probes._weights import filter_normalised, gaussian, layer_normalised
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

MATRIX = symmetric([5.0, 2.0, 1.0, 0.5, -0.3, -2.0])
START = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])


def config(**changes) -> landscape.Config:
    values = {"method": "landscape", "lines": 2, "steps": 4, "plane_steps": 2, **changes}
    return landscape.Config(**values)


def drawn(start: dict, number: int) -> torch.Tensor:
    """The direction that the probe of `Known` takes."""
    raw = gaussian(start, Known({}).rng("landscape", number))
    return filter_normalised(raw, start)["w"].flatten()


def test_at_alpha_0_it_is_the_plain_evaluation(tmp_path: Path) -> None:
    model, tokenizer = tiny(tmp_path / "released")
    tiny(tmp_path / "attacked", seed=1)
    data = world_data({"a": tmp_path / "attacked"})
    plain = evaluate_losses(model, data.losses(ProbeTexts(**TEXTS), tokenizer))
    settings = config(attacks=["a"], planes=["random", "attack"], texts=TEXTS)
    rows = landscape.probe(settings, model, tokenizer, data)
    for loss in LOSSES:
        for name in ("filter_1", "filter_2", "attack:a"):
            assert found(rows, "loss", loss, direction=name, alpha=0.0) == [plain[loss]]
        assert found(rows, "loss", loss, alpha=0.0, beta=0.0) == [plain[loss]] * 2


def test_at_alpha_1_along_an_attack_it_is_the_attacked_model(tmp_path: Path) -> None:
    model, tokenizer = tiny(tmp_path / "released")
    attacked, _ = tiny(tmp_path / "attacked", seed=1)
    data = world_data({"a": tmp_path / "attacked"})
    wanted = evaluate_losses(attacked, data.losses(ProbeTexts(**TEXTS), tokenizer))
    settings = config(attacks=["a"], lines=0, planes=[], texts=TEXTS)
    rows = landscape.probe(settings, model, tokenizer, data)
    assert [row.alpha for row in rows if row.loss == "benign"] == [k / 4 for k in range(-4, 9)]
    for loss in LOSSES:
        assert found(rows, "loss", loss, alpha=1.0) == pytest.approx([wanted[loss]], rel=1e-5)


def test_lines_and_planes_of_a_quadratic_have_their_closed_form() -> None:
    model, start = Vector(START), START.flatten()
    first, second = (drawn(weights(model), number) for number in (1, 2))
    rows = landscape.probe(config(), model, None, Known(all_losses(quadratic(MATRIX))))

    def at(alpha: float, beta: float, one: torch.Tensor) -> float:
        point = start + alpha * one + beta * second
        return float(point @ MATRIX @ point / 2)

    for row in rows:
        one = second if row.direction == "filter_2" else first
        wanted = at(row.alpha or 0.0, row.beta or 0.0, one)
        assert row.value == pytest.approx(wanted, abs=1e-3)
    assert len(rows) == 3 * (2 * 9 + 25)


def test_a_plane_along_an_attack_holds_its_line() -> None:
    model, end = Vector(START), {"w": START + 0.5}
    data = Known(all_losses(quadratic(MATRIX)), {"a": end})
    settings = config(attacks=["a"], planes=["attack"], lines=0, plane_steps=4)
    rows = landscape.probe(settings, model, None, data)
    line = [(r.alpha, r.value) for r in rows if r.loss == "benign" and r.beta is None]
    inside = [(r.alpha, r.value) for r in rows if r.loss == "benign" and r.beta == 0.0]
    assert inside == line and len(line) == 13
    across = [r.value for r in rows if r.loss == "benign" and (r.alpha, r.beta) == (1.0, 0.5)]
    point = (START + 0.5).flatten() + 0.5 * drawn(weights(model), 1)
    assert across == pytest.approx([float(point @ MATRIX @ point) / 2], abs=1e-3)


def test_the_line_of_a_network_bends_as_its_hessian_says() -> None:
    model = Perceptron(bend=torch.tanh)
    step = {name: 0.3 * torch.randn_like(p) for name, p in model.named_parameters()}
    end = {name: p.detach() + step[name] for name, p in model.named_parameters()}
    data = Known(all_losses(of_model), {"a": end})
    settings = config(attacks=["a"], lines=0, planes=[], steps=10)
    line = found(landscape.probe(settings, model, None, data), "loss")
    flat = torch.cat([part.flatten() for part in step.values()])
    bend = float(flat @ explicit_hessian(model) @ flat)
    assert (line[9] - 2 * line[10] + line[11]) / 0.1**2 == pytest.approx(bend, abs=1e-3)


def test_directions_are_as_long_as_what_they_move() -> None:
    start = {"matrix": torch.randn(4, 6), "norm": torch.ones(6)}
    raw = gaussian(start, Known({}).rng("any"))
    rows, whole = filter_normalised(raw, start), layer_normalised(raw, start)
    assert torch.allclose(rows["matrix"].norm(dim=1), start["matrix"].norm(dim=1))
    assert torch.allclose(whole["matrix"].norm(), start["matrix"].norm())
    assert not torch.allclose(whole["matrix"].norm(dim=1), start["matrix"].norm(dim=1))
    assert torch.equal(rows["norm"], torch.zeros(6)) and torch.equal(whole["norm"], torch.zeros(6))
