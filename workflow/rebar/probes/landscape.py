"""The loss landscape on lines and planes, for the three losses (Li et al. 2018, arXiv 1712.09913).

Random directions are filter-normalised, which takes out the scale of the weights; the direction of
an attack keeps its length, so that alpha = 1 is the attacked model. At alpha = 0 every value is the
plain evaluation's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from rebar.config.base import Count, Positive
from rebar.config.kinds import Probe
from rebar.config.model import ProbeTexts

if TYPE_CHECKING:
    from torch import Tensor

    from rebar.probes._data import Loss, ProbeData, Row


class Axis(NamedTuple):
    """A direction, its name, and how far to go along it: whole steps before and behind 0."""

    name: str
    direction: Mapping[str, Tensor]
    first: int
    last: int
    unit: float  # length of a step

    @property
    def steps(self) -> list[float]:
        """All of them; 0 is exact."""
        return [k * self.unit for k in range(self.first, self.last + 1)]


class Config(Probe):
    """Settings of `landscape`."""

    method: Literal["landscape"]
    attacks: list[str] = Field(default=[], description="attacks along whose directions to look too")
    lines: Count = Field(default=1, description="random directions")
    steps: Positive = Field(
        default=25, description="steps of a line to each side; published: 51 points in all"
    )
    planes: list[Literal["random", "attack"]] = Field(
        default=["random"],
        description="random: two random directions; attack: each attack and a random direction",
    )
    plane_steps: Positive = Field(
        default=25, description="steps of a plane to each side; published: 51 x 51 points in all"
    )
    reach: float = Field(
        default=1.0, gt=0, description="edge of random lines and of the plane, filter-normalised"
    )
    texts: ProbeTexts = Field(default=ProbeTexts(), description="what the losses are taken over")

    @property
    def looks_along(self) -> list[str]:
        """`attacks`."""
        return self.attacks

    @property
    def forwarded_tokens(self) -> float:
        """Three losses at every point."""
        line, way = (2 * self.steps + 1, 3 * self.steps + 1)
        side, wide = (2 * self.plane_steps + 1, 3 * self.plane_steps + 1)
        on_planes = {"random": side * side, "attack": len(self.attacks) * wide * side}
        points = self.lines * line + len(self.attacks) * way
        return 3 * self.texts.tokens * (points + sum(on_planes[plane] for plane in self.planes))

    @property
    def weight_copies(self) -> int:
        """The start, two directions, the point and the attacked models."""
        return 4 + len(self.attacks)


def probe(config: Config, model: Any, tokenizer: Any, data: ProbeData) -> list[Row]:
    """`loss` at every point: lines have an alpha, planes a beta too.

    Random axes go to `reach` on both sides, an attack's as far back and twice as far ahead.
    """
    from rebar.probes import _weights

    losses, rows = data.losses(config.texts, tokenizer), []
    with _weights.keep_weights(model) as start:
        ends = {name: data.attacked_weights(name, model) for name in config.attacks}

        def random_axis(number: int, steps: int) -> Axis:
            drawn = _weights.gaussian(start, data.rng("landscape", number))
            direction = _weights.filter_normalised(drawn, start)
            return Axis(f"filter_{number}", direction, -steps, steps, config.reach / steps)

        def attack_axis(name: str, steps: int) -> Axis:
            direction = _weights.difference(start, ends[name])
            return Axis(f"attack:{name}", direction, -steps, 2 * steps, 1 / steps)

        for number in range(1, config.lines + 1):
            rows += _walk(model, losses, start, [random_axis(number, config.steps)])
        for name in config.attacks:
            rows += _walk(model, losses, start, [attack_axis(name, config.steps)])
        side = config.plane_steps
        if "random" in config.planes:
            rows += _walk(model, losses, start, [random_axis(1, side), random_axis(2, side)])
        for name in config.attacks if "attack" in config.planes else ():
            rows += _walk(model, losses, start, [attack_axis(name, side), random_axis(1, side)])
    return rows


def _walk(
    model: Any, losses: Mapping[str, Loss], start: Mapping[str, Tensor], axes: Sequence[Axis]
) -> Iterator[Row]:
    """The losses at every point of the grid of the axes."""
    from rebar.probes._data import Row, evaluate_losses
    from rebar.probes._weights import along, set_weights

    name = " x ".join(axis.name for axis in axes)
    for point in product(*(axis.steps for axis in axes)):
        steps = [(step, axis.direction) for step, axis in zip(point, axes, strict=True)]
        set_weights(model, along(start, *steps))
        for loss, value in evaluate_losses(model, losses).items():
            alpha, beta = (*point, None)[:2]
            yield Row("loss", value, loss, name, alpha, beta)
