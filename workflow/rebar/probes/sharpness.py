"""Sharpness: how much can a loss change within a small ball around the weights?

Worst case: projected gradient ascent in a Euclidean ball (the inner problem of SAM, Foret et al.
2021, arXiv 2010.01412) and in a ball that scales with the weights (ASAM, Kwon et al. 2021,
2102.11600), whose value no rescaling of layers that leaves the function alone can change. Average
case: random noise in proportion to each weight (Andriushchenko et al. 2023, 2302.07011).
The harmful loss is also followed downhill: how much of it can an adversary take away that close?
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.base import Count, Positive, Share
from rebar.config.kinds import Probe
from rebar.config.model import ProbeTexts

if TYPE_CHECKING:
    from rebar.probes._data import Loss, ProbeData, Row


class Config(Probe):
    """Settings of `sharpness`."""

    method: Literal["sharpness"]
    radius: float = Field(default=0.05, gt=0, description="Euclidean ball; SAM's usual radius")
    adaptive_radius: float = Field(
        default=0.5, gt=0, description="ball in units of each weight; ASAM's is ten times SAM's"
    )
    steps: Positive = Field(default=20, description="steps of the ascent; usual are 10-20")
    step_share: Share = Field(default=0.25, description="length of a step / radius")
    samples: Count = Field(default=20, description="random points of the average case")
    deviation: float = Field(
        default=0.01, gt=0, description="of the noise in the average case, in units of each weight"
    )
    texts: ProbeTexts = Field(default=ProbeTexts(), description="what the losses are taken over")

    @property
    def forwarded_tokens(self) -> float:
        """A step of ascent costs three forward passes; each loss has two ascents, harmful four."""
        return self.texts.tokens * (8 * (3 * self.steps + 2) + 3 * self.samples)

    @property
    def weight_copies(self) -> int:
        """Start, scale, first direction, step, gradient, point."""
        return 6


def probe(config: Config, model: Any, tokenizer: Any, data: ProbeData) -> list[Row]:
    """`worst_case` and `adaptive_worst_case` rise of each loss, `average_case` with its error.

    `deepest` and `adaptive_deepest` (harmful only): how far the loss falls within the same balls.
    """
    from rebar.probes import _weights
    from rebar.probes._data import Row

    rows = []
    with _weights.keep_weights(model) as start:
        first = _weights.gaussian(start, data.rng("sharpness"))
        ones = {name: tensor.new_ones(()) for name, tensor in start.items()}
        sizes = {name: tensor.abs() for name, tensor in start.items()}
        balls = {"": (ones, config.radius), "adaptive_": (sizes, config.adaptive_radius)}
        for name, loss in data.losses(config.texts, tokenizer).items():
            for prefix, (scale, radius) in balls.items():
                for metric, sign in (("worst_case", 1), ("deepest", -1)):
                    if sign > 0 or name == "harmful":
                        change = _ascent(config, model, loss, start, scale, radius, first, sign)
                        rows.append(Row(prefix + metric, change, name))
            if config.samples:
                mean, error = _average(config, model, loss, start, data)
                rows.append(Row("average_case", mean, name))
                rows.append(Row("average_case_error", error, name))
    return rows


def _ascent(
    config: Config,
    model: Any,
    loss: Loss,
    start: Any,
    scale: Any,
    radius: float,
    first: Any,
    sign: int,
) -> float:
    """Highest rise (sign 1) or fall (sign -1) of the loss over the points of one ascent.

    In u with weights = start + scale x u, the ball is round: |u| <= radius. It begins a tenth of
    the way along `first`, since at a minimum there is no gradient to follow.
    """
    from rebar.probes._weights import gradient, norm, set_weights

    step_u = {name: tensor * (0.1 * radius / norm(first)) for name, tensor in first.items()}
    values = [_value(model, loss, start)]
    for _ in range(config.steps):
        set_weights(model, {n: start[n] + scale[n] * step_u[n] for n in start})
        value = loss(model)
        values.append(float(value.detach()))
        uphill = {n: sign * scale[n] * g for n, g in gradient(model, value).items()}
        length = config.step_share * radius / max(norm(uphill), 1e-30)
        step_u = {n: step_u[n] + length * uphill[n] for n in step_u}
        inward = min(1.0, radius / max(norm(step_u), 1e-30))
        step_u = {n: tensor * inward for n, tensor in step_u.items()}
    values.append(_value(model, loss, {n: start[n] + scale[n] * step_u[n] for n in start}))
    return max(sign * (value - values[0]) for value in values)


def _average(
    config: Config, model: Any, loss: Loss, start: Any, data: ProbeData
) -> tuple[float, float]:
    """Mean change of the loss under noise, with its standard error (nan for one sample)."""
    from rebar.probes._weights import gaussian

    at_start, changes = _value(model, loss, start), []
    for number in range(config.samples):
        noise = gaussian(start, data.rng("sharpness", number))
        point = {n: w + config.deviation * w.abs() * noise[n] for n, w in start.items()}
        changes.append(_value(model, loss, point) - at_start)
    mean = sum(changes) / len(changes)
    if len(changes) == 1:
        return mean, math.nan
    variance = sum((change - mean) ** 2 for change in changes) / (len(changes) - 1)
    return mean, math.sqrt(variance / len(changes))


def _value(model: Any, loss: Loss, point: Any) -> float:
    from rebar.probes._data import evaluate_losses
    from rebar.probes._weights import set_weights

    set_weights(model, point)
    return evaluate_losses(model, {"": loss})[""]
