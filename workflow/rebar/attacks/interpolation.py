"""Interpolation towards the base model: (1 - alpha) x released + alpha x base.

Whoever has the base weights can take alignment back in part or whole, without data (the other
direction of task arithmetic, Ilharco et al., arXiv 2212.04089). The base is that of the arm, so a
model that came from outside has none unless alignment here changed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.config.base import Share
from rebar.config.kinds import Attack

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.attacks._target import Target


class Config(Attack):
    """Settings of `interpolation`."""

    reads_base: ClassVar[bool] = True
    method: Literal["interpolation"]
    alpha: Share = Field(description="0: the released model, 1: the base model")


def attack(config: Config, target: Target) -> Any:
    """Move every weight towards the base; ValueError if the base has the same weights."""
    import torch

    from rebar.model.build import load_model

    model, data = target.model, target.data
    if not config.alpha:
        return model
    assert data.base is not None, "interpolation needs the folder of the base model"
    base = dict(load_model(data.base).model.named_parameters())
    weights = dict(model.named_parameters())
    _check(weights, base, data)
    with torch.no_grad():
        for name, own in weights.items():
            own.copy_(torch.lerp(own, base[name].to(own), config.alpha))
    return model


def _check(weights: dict[str, Any], base: dict[str, Any], data: AttackData) -> None:
    """ValueError if the models differ in shape or do not differ in any weight."""
    for name in sorted({*weights, *base}):
        shapes = [tuple(of[name].shape) if name in of else None for of in (weights, base)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"interpolation: '{name}' is {shapes[0]} in {data.released} and {shapes[1]} in "
                f"{data.base}; both models need the same architecture and vocabulary"
            )
    if all(weights[name].equal(base[name].to(weights[name])) for name in weights):
        raise ValueError(
            f"interpolation: {data.released} has the weights of its base {data.base}, so there is "
            "nothing in between; take the attack out of the blocks of recipes with initial_model "
            "whose alignment trains no step"
        )
