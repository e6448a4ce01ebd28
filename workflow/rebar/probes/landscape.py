"""The loss landscape on lines and planes, for the three losses (Li et al. 2018, arXiv 1712.09913).

Random directions are filter-normalised, which takes out the scale of the weights; the direction of
an attack keeps its length, so that alpha = 1 is the attacked model. At alpha = 0 every value is the
plain evaluation's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.corpus_settings import Count, Positive, Settings
from rebar.model_settings import ProbeTexts

if TYPE_CHECKING:
    from rebar.probes._data import Loss, ProbeData, Row


class Config(Settings):
    """Settings of `landscape`."""

    method: Literal["landscape"]
    attacks: list[str] = Field(default=[], description="attacks along whose directions to look too")
    lines: Count = Field(default=1, description="random directions")
    steps: Positive = Field(
        default=25, description="steps of a line to each side; published: 51 points in all"
    )
    plane_steps: Count = Field(
        default=25, description="steps of the plane to each side, published: 51 x 51; 0: no plane"
    )
    reach: float = Field(
        default=1.0, gt=0, description="edge of random lines and of the plane, filter-normalised"
    )
    texts: ProbeTexts = Field(default=ProbeTexts(), description="what the losses are taken over")

    @property
    def forwarded_tokens(self) -> float:
        """Three losses at every point."""
        on_lines = self.lines * (2 * self.steps + 1) + len(self.attacks) * (3 * self.steps + 1)
        on_plane = (2 * self.plane_steps + 1) ** 2 if self.plane_steps else 0
        return 3 * self.texts.tokens * (on_lines + on_plane)

    @property
    def weight_copies(self) -> int:
        """The start, two directions and the point."""
        return 4


def probe(config: Config, model: Any, tokenizer: Any, data: ProbeData) -> list[Row]:
    """`loss` at every point: lines have an alpha, planes a beta too."""
    from rebar.probes import _weights

    losses, rows = data.losses(config.texts, tokenizer), []
    unit = config.reach / config.steps
    with _weights.kept(model) as start:

        def random_direction(number: int) -> _weights.Weights:
            drawn = _weights.gaussian(start, data.rng("landscape", number))
            return _weights.filter_normalised(drawn, start)

        for number in range(1, config.lines + 1):
            alphas = [k * unit for k in range(-config.steps, config.steps + 1)]
            direction = random_direction(number)
            rows += _line(model, losses, start, f"filter_{number}", direction, alphas)
        for attack in config.attacks:
            end = data.attacked_weights(attack, model)
            alphas = [k / config.steps for k in range(-config.steps, 2 * config.steps + 1)]
            direction = _weights.difference(start, end)
            rows += _line(model, losses, start, f"attack:{attack}", direction, alphas)
        if config.plane_steps:
            axes = random_direction(1), random_direction(2)
            rows += _plane(config, model, losses, start, axes)
    return rows


def _line(
    model: Any, losses: dict[str, Loss], start: Any, name: str, direction: Any, alphas: list[float]
) -> Iterator[Row]:
    from rebar.probes._data import Row, evaluated
    from rebar.probes._weights import along, set_weights

    for alpha in alphas:
        set_weights(model, along(start, (alpha, direction)))
        for loss, value in evaluated(model, losses).items():
            yield Row("loss", value, loss, name, alpha)


def _plane(
    config: Config, model: Any, losses: dict[str, Loss], start: Any, axes: tuple[Any, Any]
) -> Iterator[Row]:
    from rebar.probes._data import Row, evaluated
    from rebar.probes._weights import along, set_weights

    first, second = axes
    unit = config.reach / config.plane_steps
    steps = [k * unit for k in range(-config.plane_steps, config.plane_steps + 1)]
    for alpha in steps:
        for beta in steps:
            set_weights(model, along(start, (alpha, first), (beta, second)))
            for loss, value in evaluated(model, losses).items():
                yield Row("loss", value, loss, "filter_1 x filter_2", alpha, beta)
